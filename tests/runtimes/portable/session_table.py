"""What a session publishes, accepts and refuses in one scripted day; prints one line a message, the same everywhere."""

import hashlib

from cell_controller.core import envelope, jsonwrite
from cell_controller.core.session import Session

WALL = 1795302155000
BASE = "plant/line/paint-1"

VALUES: "list[object]" = [
    None,
    True,
    False,
    0,
    -7,
    (1 << 53),
    "",
    'quote " backslash \\ tab \t bell \x07 caf\u00e9 \U0001f600',
    "half " + chr(0xD83D),
    [],
    {},
    [1, [2, [3]]],
    {"b": 1, "a": {"d": None, "c": []}, "\u00e9": 2, "B": 3},
    jsonwrite.Decimal(512, 100),
    jsonwrite.Decimal(-5, 1000),
    jsonwrite.Decimal(500, 100),
    jsonwrite.Decimal(-1, 8),
    jsonwrite.Decimal(1, 3),
    jsonwrite.Decimal(0, 10),
    ("dec", 45, -1),
    ("dec", -5, -3),
    ("dec", 12, 2),
    1.5,
    b"x",
    {1: 2},
    jsonwrite.Decimal(1, 0),
]

REQUESTS = [
    ("command", b'{"id":"a","issuer":"i","verb":"command","command":"start","expires_ms":1795302160000}'),
    ("command", b'{"id":"a","issuer":"i","verb":"command","command":"start","expires_ms":1795302160000}'),
    ("command", b'{"id":"a","issuer":"i","verb":"command","command":"stop","expires_ms":1795302160000}'),
    ("command", b'{"id":"b","issuer":"i","verb":"command"}'),
    ("command", b'{"id":"c","issuer":"i","verb":"command","expires_ms":1795302155000}'),
    ("command", b'{"id":"d","issuer":"i","verb":"command","expires_ms":1795302216001}'),
    (
        "command",
        b'{"id":"e","issuer":"i","verb":"command","expires_ms":1795302160000,"sent_ms":1795302154000}',
    ),
    ("command", b'{"id":"f","issuer":"i","verb":"order.submit","order_id":"o/1"}'),
    ("order", b'{"id":"f","issuer":"i","verb":"order.submit","order_id":"o/1","options":{"x":4.50}}'),
    ("order", b'{"id":"f","issuer":"i","verb":"order.submit","order_id":"o/1","options":{"x":4.50}}'),
    ("order", b'{"id":"g","issuer":"i","verb":"order.cancel","order_id":"o/1"}'),
    ("query", b'{"id":"h","issuer":"i","verb":"query","what":"state"}'),
    ("query", b'{"id":"h","issuer":"i","verb":"query","what":"state"}'),
    ("query", b'{"id":"h","issuer":"i","verb":"sing"}'),
    ("query", b'{"id":"h","issuer":"i"}'),
    ("query", b'{"id":"h\\u0007","issuer":"i","verb":"query"}'),
    ("query", b'{"id":"' + b"x" * 65 + b'","issuer":"i","verb":"query"}'),
    ("query", b'{"id":7,"issuer":"i","verb":"query"}'),
    ("query", b'{"id":"k","issuer":"i","verb":"query","expires_ms":"soon"}'),
    ("query", b'{"id":"k","issuer":"i","verb":"query","expires_ms":true}'),
    ("query", b"[1 2]"),
    ("query", b"[1,2]"),
    ("query", b"\xff\xfe"),
    ("query", b""),
    ("query", b" " * 16385),
    ("other", b"{}"),
]

digest = hashlib.sha256()


def show(line: str) -> None:
    digest.update(line.encode() + b"\n")
    print(line if len(line) < 400 else line[:400])


def show_all(session: Session, now_ms: int) -> None:
    for message in session.poll(now_ms, 100):
        text = message.payload.decode()
        show(f"  {message.topic} qos {message.qos} retain {message.retain} token {message.token} {text}")


def main() -> None:
    for value in VALUES:
        try:
            show(jsonwrite.dumps(value))
        except ValueError as error:
            show("ValueError " + str(error))
    for wall_ms in (0, 951782399999, 951782400000, 1709164800000, WALL, 4102444799000):
        show(envelope.utc_text(wall_ms))
    session = Session(BASE, "e1")
    session.connected(5, WALL, "3.1.1")
    session.subscribed()
    session.state({"state": "Idle", "timestamp_ms": 1})
    session.catalogue({"bonnet": [1, 2]})
    entries = [("airflow", 512, 0, "m3/min", 100), ("door", 1, 2, "", 1)]
    session.signals(WALL, entries)
    show_all(session, 5)
    for place, payload in REQUESTS:
        request = session.received(6, WALL, BASE + "/request/" + place, payload, False)
        if request is not None:
            show(f"accepted {request.verb} {request.id} {jsonwrite.dumps(request.args)}")
            if request.verb != "order.cancel":
                session.reply(
                    request.token, {"ok": True, "code": 0, "name": "accepted", "text": "", "data": {}}
                )
        else:
            show("not accepted")
        show_all(session, 6)
    for seq in range(1, 120):
        if session.room(7) > 0:
            session.record(seq, [("events", {"n": seq}), ("items", {"serial": seq})], seq < 50)
    show_all(session, 7)
    for token in range(1, 200):
        session.acked(8, token, 0x87 if token == 120 else 0)
    show(f"delivered {session.delivered} next {session.next_seq} refused {session.refused}")
    show(f"room {session.room(9)} then {session.room(6000)}")
    session.disconnected(7000)
    show(f"delivered {session.delivered} next {session.next_seq} in flight {session.in_flight()}")
    print("sha256", "".join(["%02x" % byte for byte in digest.digest()]))


main()
