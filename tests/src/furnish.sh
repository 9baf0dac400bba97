# First process of a lab host. It furnishes the host's fresh namespaces, says "ready", and then lives for
# as long as its standard input stays open. It is process 1 of its process namespace, so when it ends the kernel
# kills all that runs in the host and takes away its mounts and devices.
set -eu
host=$1
mount --make-rprivate /
mount -t proc proc /proc
mount -t sysfs sysfs /sys
echo "$host" >/proc/sys/kernel/hostname
mount -t tmpfs -o mode=755 run /run
mkdir -m 1777 /run/lock

# Only what programs need in order to work comes along; what the machine itself has configured does not.
mkdir /run/etc
mount -t tmpfs -o mode=755 etc /run/etc
for entry in alternatives dbus-1 debian_version environment ethertypes gai.conf group gshadow host.conf iproute2 \
    ld.so.cache ld.so.conf ld.so.conf.d localtime login.defs nsswitch.conf os-release pam.conf pam.d passwd \
    profile protocols security services shadow shells ssl terminfo; do
    [ ! -e "/etc/$entry" ] || cp -a "/etc/$entry" /run/etc/
done
echo "$host" >/run/etc/hostname
printf '127.0.0.1 localhost\n::1 localhost\n127.0.1.1 %s\n' "$host" >/run/etc/hosts
tr -d - </proc/sys/kernel/random/uuid >/run/etc/machine-id
: >/run/etc/resolv.conf
mount --move /run/etc /etc
rmdir /run/etc
mount -t tmpfs -o mode=755 var-lib /var/lib

# Addresses are usable at once: there is nobody to collide with.
for scope in all default; do
    echo 0 >/proc/sys/net/ipv6/conf/$scope/accept_dad
    echo 0 >/proc/sys/net/ipv6/conf/$scope/router_solicitations
done
ip link set lo up
echo ready
exec >/dev/null

# "wait" also reaps whatever processes of this host lost their parents.
exec 3<&0
cat <&3 &
wait $! || true

# Connections whose other end is gone as well would keep the network for two minutes after the last process.
echo 1 >/proc/sys/net/ipv4/tcp_orphan_retries
