"""Stands between a node and its authority with the authority's own TLS key, and changes what the authority says.

Arguments: certificate, key, the authority's address and port, and a file that holds how to lie:
honest, signatures, payloads or bytes.
"""

import re
import select
import socket
import ssl
import sys
import threading

MARK = 7  # what carries it is not redirected here again
SO_MARK = 36


def other(letter):
    return b"B" if letter == b"A" else b"A"


def flip_second(match):
    return match[1] + other(match[2])


def lie(how, data):
    if how == "signatures":
        return re.sub(rb'("sig":")(.)', flip_second, data)
    if how == "payloads":
        return re.sub(rb'("payload":"[^"]{60})(.)', flip_second, data)
    if how == "bytes":
        changed = bytearray(data)
        for at in range(50, len(changed), 101):
            changed[at] ^= 1
        return bytes(changed)
    return data


def available(stream):
    """What has arrived, b"" at the end, or None if nothing has."""
    stream.settimeout(0)
    try:
        return stream.recv(65536)
    except (ssl.SSLWantReadError, BlockingIOError):
        return None


def give(stream, data):
    stream.settimeout(10)
    stream.sendall(data)


def carry(node, authority, how):
    """Until one of them ends. Data that TLS has read ahead shows on no socket, so each is emptied in turn."""
    while True:
        select.select([node, authority], [], [], 1)
        for source, target in ((node, authority), (authority, node)):
            while (data := available(source)) is not None:
                if not data:
                    return
                give(target, lie(how(), data) if source is authority else data)


def serve(connection, server, client, address, how):
    try:
        node = server.wrap_socket(connection, server_side=True)
        raw = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        raw.setsockopt(socket.SOL_SOCKET, SO_MARK, MARK)
        raw.connect(address)
        authority = client.wrap_socket(raw)
        carry(node, authority, how)
        node.close()
        authority.close()
    except OSError:
        connection.close()


def main():
    certificate, key, address, port, way = sys.argv[1:]
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE

    def how():
        with open(way) as file:
            return file.read().strip()

    listener = socket.create_server(("0.0.0.0", 9443))
    print("listening", flush=True)
    while True:
        connection, _ = listener.accept()
        print("connection", flush=True)
        words = (connection, server, client, (address, int(port)), how)
        threading.Thread(target=serve, args=words, daemon=True).start()


main()
