"""`lapwise login` and `lapwise logout`."""

import sys

import click

from app.commands.talking import leave, url_option


@click.command()
@url_option
@click.option("--email", prompt=True, prompt_required=True, help="Asked for where it is not given.")
@click.option("--password-stdin", is_flag=True, help="Read the password from the standard input.")
@click.option("--register", is_flag=True, help="Open the account first.")
def login(url: str | None, email: str, password_stdin: bool, register: bool) -> None:
    """Sign in; other commands then act for this driver.

    The tokens are kept in a file that only you can read; the password is not.
    """
    from app.client import ApiError
    from app.commands.platform import open_client

    password = _password(from_stdin=password_stdin, twice=register)
    try:
        with open_client(url) as client:
            (client.register if register else client.login)(email, password)
            click.echo(f"signed in as {client.me()['email']} at {client.http.base_url}", err=True)
    except ApiError as exc:
        leave(exc, as_json=False)


@click.command()
@url_option
def logout(url: str | None) -> None:
    """Revoke this sign-in's tokens and forget them."""
    from app.client import ApiError
    from app.commands.platform import open_client

    try:
        with open_client(url) as client:
            if client.keeper.get() is not None:
                client.logout()
            click.echo(f"signed out at {client.http.base_url}", err=True)
    except ApiError as exc:
        leave(exc, as_json=False)


def _password(*, from_stdin: bool, twice: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    if not sys.stdin.isatty():
        raise click.UsageError("no terminal to ask for the password on: pipe it and say --password-stdin")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=twice, err=True))
