"""Constants become values in a board's code, and only where it is certain that nothing else reads or changes them."""

from pathlib import Path
from typing import Any

import pytest

from host_tools.build_image import START, compile_controller, find_cross, needed_modules
from host_tools.inline_constants import inlined
from tests.runtimes.runtimes import ROOT


def one(source: str, *, user: str = "", named: str = "") -> str:
    """What becomes of a module that is alone."""
    return inlined({"m.py": source.encode()}, [user.encode()], [named])["m.py"].decode()


def two(first: str, second: str, *, user: str = "") -> tuple[str, str]:
    """What becomes of a module and of one beside it that reads it."""
    found = inlined(
        {"p/__init__.py": b"", "p/a.py": first.encode(), "p/b.py": second.encode()}, [user.encode()]
    )
    return found["p/a.py"].decode(), found["p/b.py"].decode()


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("5", "5"),
        ("-5", "(-5)"),
        ("1 << 4", "16"),
        ("(2 + 3) * 4 - 1", "19"),
        ("~0 & 0xFF | 0x100", "511"),
        ("-7 // 2", "(-4)"),
        ("9 >> 1 ^ 1", "5"),
        ("'auto'", "('auto')"),
        ("'ä'", "('\\xe4')"),
    ],
)
def test_constant_becomes_its_value_and_is_gone(expression: str, value: str) -> None:
    assert (
        one(f"A = {expression}\ndef f(x=A):\n    return x[A]\n")
        == f"pass\ndef f(x={value}):\n    return x[{value}]\n"
    )


def test_value_stands_where_the_name_stood() -> None:
    """A negative one and one before a dot, a name in a nested function, in a decorator and in a class."""
    source = "A = -2\nB = 3\n@d(A)\nclass C:\n    x = A ** 2 + B.real\n    def f(s):\n        return lambda: A - B\n"
    head, body = one(source).split("class C:")
    assert head == "pass\npass\n@d((-2))\n"
    assert body == "\n    x = (-2) ** 2 + (3).real\n    def f(s):\n        return lambda: (-2) - 3\n"
    space: dict[str, Any] = {"d": lambda value: lambda cls: cls}
    exec(one(source), space)
    assert space["C"].x == 7
    assert space["C"]().f()() == -5


def test_constants_of_constants_and_of_a_range() -> None:
    source = "(\n    OFF,\n    ON,\n) = range(2)\nBOTH = OFF | ON << LATER\nLATER = 3\nx = BOTH, ON\n"
    assert one(source) == "pass\n\n\n\npass\npass\nx = 8, 1\n"


@pytest.mark.parametrize(
    "source",
    [
        "A = 1\nA = 2\nx = A\n",
        "A = 1\nA += 1\nx = A\n",
        "A = 1\ndef f():\n    global A\n    A = 2\nx = A\n",
        "A = 1\ndef f():\n    global A\nx = A\n",
        "A = 1\ndel A\nx = A\n",
        "A = 1\ndef f():\n    A = 2\n    return A\n",
        "A = 1\ndef f(A):\n    return A\n",
        "A = 1\ndef f(*A):\n    return A\n",
        "A = 1\nf = lambda A: A\n",
        "A = 1\nx = [A for A in y]\n",
        "A = 1\nfor A in y:\n    z = A\n",
        "A = 1\nwith y as A:\n    z = A\n",
        "A = 1\nx = (A := 3)\n",
        "A = 1\nclass C:\n    A = 2\n    x = A\n",
        "A = 1\nclass A:\n    pass\n",
        "A = 1\ntry:\n    A = 2\nexcept E:\n    pass\nx = A\n",
        "try:\n    A = 1\nexcept E:\n    pass\nx = A\n",
        "if y:\n    A = 1\nx = A\n",
        "A = 1\ntry:\n    f()\nexcept E as A:\n    pass\nx = A\n",
        "A = 1\nimport b as A\nx = A\n",
        "from b import A\nx = A\n",
        "A = 1\nx = f'{A}'\n",
        "A = 1\nself.A = 2\nx = A\n",
        "A = 1\nsetattr(y, 'A', 2)\nx = A\n",
        "A = B = 1\nx = A, B\n",
        "A, B = 1, 2\nx = A, B\n",
        "(A, B) = range(3)\nx = A, B\n",
        "def range(n):\n    return 'ab'\n(A, B) = range(2)\nx = A, B\n",
        "A = 1.5\nB = 1 / 2\nC = True\nD = None\nE = (1, 2)\nF = b'x'\nx = A, B, C, D, E, F\n",
        "A = 1 << 30\nB = 1 << 99\nC = -(1 << 30) - 1\nx = A, B, C\n",
        "A = 'longer than ten'\nx = A\n",
        "A = 1 // 0\nB = 1 << -1\nx = A, B\n",
        "A: int\nx = A\n",
        "a = 1\n_A1b = 2\nx = a, _A1b\n",
    ],
)
def test_what_is_not_certain_stays_as_it_is(source: str) -> None:
    assert one(source) == source


@pytest.mark.parametrize(
    "user", ["import m\nm.A\n", "from m import A\n", "x.A\n", "getattr(m, 'A')\n", "from m import *\n"]
)
def test_constant_that_another_file_reads_is_replaced_but_stays(user: str) -> None:
    kept = one("A = 1\nx = A\n", user=user)
    assert kept.startswith("A = 1\n")
    assert kept in ("A = 1\nx = 1\n", "A = 1\nx = A\n")


def test_constant_that_a_wiring_names_stays() -> None:
    assert one("A = 1\nx = A\n", named="A") == "A = 1\nx = A\n"


def test_range_of_which_one_is_needed_stays_whole() -> None:
    assert one("(A, B) = range(2)\nx = A\n", user="m.B\n") == "(A, B) = range(2)\nx = 0\n"


@pytest.mark.parametrize(
    ("second", "result"),
    [
        ("from .a import A\nx = A\n", "pass\nx = 7\n"),
        ("from .a import A as B, f\nx = B\n", "from .a import f\nx = 7\n"),
        ("from p.a import (\n    A,\n    f,\n)\nx = A\n", "from p.a import f\n\n\n\nx = 7\n"),
        ("from . import a\nx = a.A\n", "pass\nx = 7\n"),
        ("from . import a as q\nx = q.A, q.f\n", "from . import a as q\nx = 7, q.f\n"),
        ("import p.a as q\nx = q.A + q.f\n", "import p.a as q\nx = 7 + q.f\n"),
        ("from .a import A\nB = A + 1\nx = B\n", "pass\npass\nx = 8\n"),
    ],
)
def test_constant_of_another_module_becomes_its_value(second: str, result: str) -> None:
    assert two("A = 7\ndef f():\n    pass\n", second) == ("pass\ndef f():\n    pass\n", result)


@pytest.mark.parametrize(
    "second",
    [
        "import p.a\nx = p.a.A\n",
        "def g():\n    from .a import A\n    return A\n",
        "from .a import *\nx = A\n",
        "from . import a\na.A = 3\nx = a.A\n",
        "from . import a\ndef g(a):\n    return a.A\n",
        "from .a import A\nx = A\nA = 3\n",
        "x = modules['p.a'].A\n",
    ],
)
def test_reader_that_is_not_certain_keeps_the_constant_of_another_module(second: str) -> None:
    assert two("A = 7\n", second) == ("A = 7\n", second)


def test_constant_that_a_third_module_takes_from_where_it_was_imported() -> None:
    sources = {
        "p/a.py": b"A = 7\n",
        "p/b.py": b"from .a import A\nx = A\n",
        "p/c.py": b"from p.b import A\nx = A\n",
    }
    found = inlined(sources)
    assert found["p/b.py"] == b"from .a import A\nx = 7\n"
    assert found["p/c.py"] == b"from p.b import A\nx = A\n"
    assert found["p/a.py"] == b"A = 7\n"


def test_typing_is_left_out_with_what_it_imports() -> None:
    source = "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from t import A\nA = 2\nx = A\n"
    assert one(source) == "pass\nif False:\n    from t import A\npass\nx = 2\n"
    other = "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    A = 1\nelse:\n    A = 2\nx = A\n"
    assert one(other) == "pass\nif False:\n    A = 1\nelse:\n    pass\nx = 2\n"
    asked = "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    A = 1\nx = TYPE_CHECKING\n"
    assert one(asked) == asked


def test_letters_of_two_bytes_before_a_constant_do_not_move_it() -> None:
    assert one("A = 1\nx = 'äöü', A, 'ß', A\n") == "pass\nx = 'äöü', 1, 'ß', 1\n"


def test_every_line_of_the_controller_keeps_its_number_and_nothing_but_constants_is_gone() -> None:
    sources = {name: path.read_bytes() for name, path in needed_modules(ROOT, [START]).items()}
    result = inlined(sources)
    assert inlined(dict(reversed(sources.items()))) == result
    for name, source in sources.items():
        before, after = source.decode().splitlines(), result[name].decode().splitlines()
        assert len(before) == len(after), name
        for line, other in zip(before, after, strict=True):
            if line.lstrip().startswith(("def ", "class ", "return", "raise ")):
                assert other.split()[0] == line.split()[0], name
    assert len(b"".join(result.values())) < len(b"".join(sources.values()))


def test_byte_code_is_smaller_than_that_of_the_sources(tmp_path: Path) -> None:
    try:
        cross = find_cross()
    except ValueError as error:
        pytest.skip(str(error))
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a.py").write_text("_LIMIT = 3\nNAMES = ('a', 'b')\ndef f(x):\n    return x > _LIMIT\n")
    code = compile_controller(cross, {"p/a.py": tmp_path / "p" / "a.py"})["p/a.mpy"]
    assert b"_LIMIT" not in code
    assert b"NAMES" in code
