"""Pickles made to do harm; as a program it tries to load each with little memory and says what came of it."""

import json
import resource
import sys
import tracemalloc
from collections.abc import Callable
from hashlib import sha256
from importlib import import_module

import structlog
import zstandard

from app.domain import new_id
from app.errors import ArtifactRefused
from models_store.allowed import ALLOWED
from models_store.codec import Artifact, Owner, decode, signed_for

KEY = b"the key of the tests"
LIMIT = 4 << 20  # bytes a model may have
HEADROOM = 192 << 20  # bytes of addresses beyond what the process has when it begins


def named(module: str, name: str) -> bytes:
    """What puts the object of a name on the stack."""
    return text(module) + text(name) + b"\x93"


def text(value: str) -> bytes:
    encoded = value.encode()
    return b"\x8c" + bytes([len(encoded)]) + encoded


def pickled(body: bytes) -> bytes:
    return b"\x80\x05" + body + b"."


def huge(code: bytes, size: int, width: int) -> bytes:
    """An instruction that says that more follows than does."""
    return pickled(code + size.to_bytes(width, "little") + b"x")


def repeated(make: Callable[[int], bytes], times: int) -> bytes:
    return b"".join(map(make, range(times)))


FLOAT_STATE = b"(K\x03" + text("<") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t"
DTYPE, FROM_BUFFER = named("numpy", "dtype"), named("numpy._core.numeric", "_frombuffer")
FLOATS = DTYPE + text("f8") + b"\x89\x88\x87R"
VOID = DTYPE + text("V8") + b"\x89\x88\x87R"
OBJECTS = DTYPE + text("O8") + b"\x89\x88\x87R"
EIGHT = b"C\x08AAAAAAAA"
MILLION = 10**6
A_DICT = b"}(" + repeated(lambda number: b"J" + number.to_bytes(4, "little") + b"N", 20_000) + b"u\x94"
A_LIST = b"](" + b"N" * 40_000 + b"e\x94"


def array(dtype: bytes, shape: bytes, data: bytes = EIGHT) -> bytes:
    return FROM_BUFFER + b"(" + data + dtype + shape + text("C") + b"tR"


def changes(module: str, name: str, attribute: str, value: bytes) -> bytes:
    """Sets an attribute of what is found by a name, for the whole process."""
    return pickled(named(module, name) + b"N}" + text(attribute) + value + b"s\x86b")


ATTACKS = {
    # memory
    "a memo of two thousand million places": pickled(b"Nr\xff\xff\xff\x7f"),
    "a memo of places beyond number": pickled(b"Np99999999999\n"),
    "a small place in the memo": pickled(b"Nq\x07"),
    "a bytearray of a terabyte": huge(b"\x96", 10**12, 8),
    "a bytearray of 150 megabytes": huge(b"\x96", 150 * MILLION, 8),
    "bytes of a terabyte": huge(b"\x8e", 10**12, 8),
    "bytes of 150 megabytes": huge(b"B", 150 * MILLION, 4),
    "a text of 2 to the 63": huge(b"\x8d", 2**63, 8),
    "a text of 150 megabytes": huge(b"X", 150 * MILLION, 4),
    "an integer of two gigabytes": huge(b"\x8b", 2**31 - 1, 4),
    "an integer of digits": pickled(b"L" + b"9" * 100_000 + b"L\n"),
    "bytes of another built-in": pickled(
        named("builtins", "bytes") + b"\x8a\x06\x00\x10\xa5\xd4\xe8\x00\x85R"
    ),
    "a million sets": pickled(b"(" + b"\x8f" * MILLION + b"t"),
    "a million dicts": pickled(b"(" + b"}" * MILLION + b"t"),
    "a million marks": pickled(b"(" * MILLION + b"N" + b"t" * MILLION),
    "lists in lists in lists": pickled(b"]" * MILLION + b"a" * (MILLION - 1)),
    "copies of a long list": pickled(
        A_LIST + named("collections", "deque") + b"\x94(" + b"h\x01h\x00\x85R" * 5_000 + b"t"
    ),
    "copies of a large dict": pickled(
        A_DICT + named("collections", "Counter") + b"\x94(" + b"h\x01h\x00\x85R" * 5_000 + b"t"
    ),
    "copies of a large dict by River": pickled(
        A_DICT
        + named("river._river_rust.vectordict", "VectorDict")
        + b"\x94("
        + b"h\x01(h\x00NN\x88tR" * 5_000
        + b"t"
    ),
    "a class called for a thousand million parts": pickled(
        named("learning.sectors", "SectorContext") + b"NJ\x00\xca\x9a\x3b\x86R"
    ),
    "a frame that lies": b"\x80\x05\x95" + (10**15).to_bytes(8, "little") + b"N.",
    # arrays
    "an array of a terabyte": pickled(array(FLOATS, b"\x8a\x06\x00\x10\xa5\xd4\xe8\x00\x85")),
    "an array of objects": pickled(array(OBJECTS, b"K\x01\x85")),
    "an array of a text for a type": pickled(array(text("O"), b"K\x01\x85")),
    "numbers that become objects": pickled(
        array(
            FLOATS
            + b"(K\x03"
            + text("|")
            + b"N"
            + text("a")
            + b"\x85}J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
            b"K\x01\x85",
        )
    ),
    "a structure that hides its objects": pickled(
        array(
            VOID
            + b"(K\x03"
            + text("|")
            + b"N"
            + text("a")
            + b"\x85}"
            + text("a")
            + OBJECTS
            + b"K\x00\x86sK\x08K\x01K\x00tb",
            b"K\x01\x85",
        )
    ),
    "an array that is given another state": pickled(
        array(FLOATS + FLOAT_STATE + b"b", b"K\x01\x85")
        + b"(K\x01J\x00\xca\x9a\x3b\x85"
        + FLOATS
        + b"\x89"
        + EIGHT
        + b"tb"
    ),
    # names
    "what lies behind an allowed module": pickled(named("learning.model", "np.load") + text("x") + b"\x85R"),
    "what lies behind an allowed class": pickled(
        named("learning.model", "ContextKey.__init__.__globals__") + text("x") + b"\x85R"
    ),
    "the builtins behind a module": pickled(named("collections", "_sys.modules") + b"N\x85R"),
    "an allowed name of another module": pickled(named("learning", "lap_time.LapTimeModel") + b")\x81"),
    "a made-up module": pickled(named("learning.\u202elap_time", "LapTimeModel") + b")\x81"),
    "a class made with named arguments": pickled(named("learning.scores", "Score") + b")}\x92"),
    # what would last
    "a method of a class changed": changes(
        "learning.lap_time", "LapTimeModel", "predict_one", named("builtins", "float")
    ),
    "a class of Python changed": changes("collections", "Counter", "update", named("builtins", "float")),
    "a class of River changed": changes(
        "river.preprocessing.scale", "StandardScaler", "learn_one", named("builtins", "float")
    ),
    "the stand-in for a type changed": changes("numpy", "dtype", "__setstate__", named("builtins", "float")),
    "the stand-in for arrays changed": changes(
        "numpy._core.numeric", "_frombuffer", "__new__", named("builtins", "float")
    ),
    "a function changed": changes(
        "river.tree.splitter.ebst_splitter",
        "EBSTNode._update_estimator_univariate",
        "__qualname__",
        text("x"),
    ),
    "a function given defaults": changes(
        "river.tree.splitter.ebst_splitter", "EBSTNode._update_estimator_univariate", "__defaults__", b"N\x85"
    ),
    # form
    "two pickles": pickled(b"N") + pickled(b"N"),
    "nothing": b"",
    "no end": b"\x80\x05N",
    "an end within a text": b"\x80\x05\x8c\x09x.",
}


def tried(data: bytes) -> tuple[str, int]:
    """What came of loading, and the most memory that Python and NumPy had at one time, in bytes."""
    owner = Owner(user_id=new_id(), model_id=new_id())
    compressed = zstandard.compress(data)
    unsigned = Artifact(
        data=compressed,
        size=len(data),
        compressed_size=len(compressed),
        sha256=sha256(compressed).hexdigest(),
        hmac="",
        river_version="0",
    )
    artifact = signed_for(unsigned, owner, key=KEY)
    tracemalloc.start()
    try:
        return f"loaded {type(decode(artifact, owner=owner, keys=[KEY], max_size=LIMIT)).__name__}", 0
    except ArtifactRefused as exc:
        return f"refused: {exc.message[:200]}", tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    for module, _ in ALLOWED:
        import_module(module)
    with open("/proc/self/statm") as statm:
        pages = int(statm.read().split()[0])
    limit = pages * resource.getpagesize() + HEADROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    json.dump({name: tried(data) for name, data in ATTACKS.items()}, sys.stdout)


if __name__ == "__main__":
    main()
