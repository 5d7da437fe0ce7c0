"""What all commands that talk to a platform have: its address, how results are shown, what errors say."""

import json
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from app.client import ApiError

NOT_SIGNED_IN, UNREACHABLE = (
    3,
    4,
)  # exit codes; 1 is a refusal or a failed job, 2 a command that is not understood
SAID = 5  # of a list in an error; the rest is counted
ADVICE = {
    401: "sign in with `lapwise login`",
    413: "send a table of rows with --chunks, or fewer laps at once",
    429: "too many requests just now; try again later",
    503: "the platform is up, but something it needs is not; try again later",
}
UNREACHABLE_ADVICE = (
    "is the platform running? start it with `make up`, or name another with --url or LAPWISE_URL"
)

url_option = click.option("--url", help="The platform's address, before LAPWISE_URL and that of `make up`.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


def talking(view: Callable[..., None]) -> Callable[..., None]:
    """Makes a command of a view: it gets a signed-in client and a `Show` before its own options."""

    @url_option
    @json_option
    @wraps(view)
    def command(url: str | None, as_json: bool, **options: Any) -> None:
        from app.client import ApiError
        from app.commands.platform import open_client
        from app.commands.show import Show

        try:
            with open_client(url) as client:
                if client.keeper.get() is None:
                    raise ApiError(
                        "not_signed_in", f"nobody is signed in at {client.http.base_url}", status=401
                    )
                view(client, Show(as_json=as_json), **options)
        except ApiError as exc:
            leave(exc, as_json=as_json)

    return command


def leave(error: "ApiError", *, as_json: bool) -> NoReturn:
    """Ends the command: what is wrong, where, what to do; the exit code says of which kind it is."""
    click.echo(told(error, as_json=as_json), err=True)
    sys.exit(exit_code(error))


def told(error: "ApiError", *, as_json: bool) -> str:
    """An error in words, or as the JSON that the platform gave."""
    if as_json:
        body = {"code": error.code, "message": error.message, "details": error.details}
        return json.dumps({"error": body}, ensure_ascii=False)
    fields = {name: said for name, said in error.details.items() if name != "job"}
    lines = [f"error: {error.message}", *(f"  {name}: {_plain(said)}" for name, said in fields.items())]
    advice = UNREACHABLE_ADVICE if error.code == "unreachable" else ADVICE.get(error.status or 0)
    return "\n".join([*lines, *([f"  {advice}"] if advice else [])])


def exit_code(error: "ApiError") -> int:
    if error.code == "unreachable":
        return UNREACHABLE
    return NOT_SIGNED_IN if error.status == 401 else 1


def pairs(texts: tuple[str, ...], option: str) -> dict[str, Any]:
    """`name=value` texts as a mapping; values are JSON where they can be, times as drivers write them too.

    >>> pairs(("gear=5", "recent_laps=1:32.4,1:33", "compound=C3"), "values")
    {'gear': 5, 'recent_laps': [92.4, 93.0], 'compound': 'C3'}

    Raises
    ------
    click.UsageError
        One has no name or no `=`.
    """
    split = [text.partition("=") for text in texts]
    if wrong := [text for text, (name, sign, _) in zip(texts, split, strict=True) if not (name and sign)]:
        raise click.UsageError(f"{option} are written name=value, not {wrong[0]!r}")
    return {name: _value(text) for name, _, text in split}


def numbers(texts: tuple[str, ...], option: str) -> Mapping[str, float]:
    """The same where every value must be a number."""
    values = pairs(texts, option)
    if wrong := [name for name, value in values.items() if not isinstance(value, int | float)]:
        raise click.UsageError(f"{option} needs a number for {wrong[0]!r}")
    return values


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        if "," in text:
            return [_value(part) for part in text.split(",")]
        minutes, colon, seconds = text.partition(":")
        if colon and minutes.isdigit() and seconds.replace(".", "", 1).isdigit():
            return 60 * int(minutes) + float(seconds)
        return text


def _plain(said: Any) -> str:
    if isinstance(said, list):
        more = [f"and {len(said) - SAID} more"] if len(said) > SAID else []
        return "; ".join([*map(_plain, said[:SAID]), *more])
    return said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
