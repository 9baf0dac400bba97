"""What a hostile host sends to a WireGuard port. Run as: stranger.py WHAT [WORDS], endlessly unless told otherwise."""
import hashlib
import os
import random
import socket
import struct
import sys
import time

UDP_SEGMENT = 103


def plain():
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def spoofed(source, port, to, payload):
    """An IPv4 packet with a source of choice; UDP needs no checksum."""
    udp = struct.pack("!HHHH", port, to[1], 8 + len(payload), 0) + payload
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, socket.inet_aton(source), socket.inet_aton(to[0])
    )
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + udp


def raw():
    sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
    return sender


def send(sender, data, to):
    try:
        sender.sendto(data, to)
    except OSError:
        time.sleep(0.0001)


def garbage(to):
    """Trains of random datagrams, some of which look like WireGuard; the last of each train is cut off."""
    sender = plain()
    kinds = [b"", b"\1\0\0\0", b"\2\0\0\0", b"\3\0\0\0", b"\4\0\0\0", b"\4\1\0\0"]
    trains = []
    for kind in kinds:
        for length in (1, 31, 32, 64, 92, 148, 1452):
            datagrams = [(kind + os.urandom(length))[:length] for _ in range(40)]
            trains.append((length, b"".join(datagrams)[: -(length // 2) or None]))
    print("sending", flush=True)
    while True:
        length, train = random.choice(trains)
        sender.setsockopt(socket.SOL_UDP, UDP_SEGMENT, length)
        send(sender, train, to)


def initiations(to, key, rate):
    """Initiations with a true first mac from addresses that are not ours, at most `rate` a second (0: no limit)."""
    sender, label = raw(), hashlib.blake2s(b"mac1----" + bytes.fromhex(key)).digest()
    packets = []
    for _ in range(5000):
        body = b"\1\0\0\0" + os.urandom(112)
        mac = hashlib.blake2s(body, key=label, digest_size=16).digest()
        source = "198.18.%d.%d" % (random.randrange(256), random.randrange(1, 255))
        packets.append(spoofed(source, random.randrange(1024, 65536), to, body + mac + bytes(16)))
    print("sending", flush=True)
    began, count = time.monotonic(), 0
    while True:
        send(sender, packets[count % len(packets)], to)
        count += 1
        if rate and count % 16 == 0 and count > (time.monotonic() - began) * rate:
            time.sleep(0.001)


def record(path, seconds):
    """Keeps what arrives here at the WireGuard port."""
    sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
    sniffer.settimeout(0.1)
    print("recording", flush=True)
    seen, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            packet = sniffer.recv(65536)
        except TimeoutError:
            continue
        if packet[9] == 17 and packet[22:24] == struct.pack("!H", 51820):
            seen.append(packet[28:])
    with open(path, "wb") as file:
        for payload in seen:
            file.write(struct.pack("!I", len(payload)) + payload)
    print("recorded", len(seen), flush=True)


def replay(path, to, source):
    """Sends what was recorded once more, from this host or as if from `source`."""
    data, at, count = open(path, "rb").read(), 0, 0
    sender = raw() if source else plain()
    while at < len(data):
        (length,) = struct.unpack_from("!I", data, at)
        payload = data[at + 4 : at + 4 + length]
        at, count = at + 4 + length, count + 1
        send(sender, spoofed(source, 51820, to, payload) if source else payload, to)
    print("replayed", count, flush=True)


def target(word):
    address, port = word.split(":")
    return address, int(port)


what, words = sys.argv[1], sys.argv[2:]
if what == "garbage":
    garbage(target(words[0]))
elif what == "initiations":
    initiations(target(words[0]), words[1], int(words[2]))
elif what == "record":
    record(words[0], float(words[1]))
elif what == "replay":
    replay(words[0], target(words[1]), words[2] if len(words) > 2 else None)
