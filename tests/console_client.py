"""What the console's tests share: quick hashes, accounts, a log-in, a form sent with the token of a page."""

import contextlib
import functools
import html
import re

import argon2
import pytest

from tests.pps_client import Clock
from tools.pps.db import Database
from tools.pps.services import access, build_services
from tools.pps.services.enrolment import Endpoints

NAME, PASSWORD = "佐藤", "correct horse battery"
INSTALLER, READER = "installer one", "reader one"


@contextlib.contextmanager
def quick_hashes():
    """Argon2 with little work, or the log-ins would take minutes."""
    with pytest.MonkeyPatch.context() as patch:
        hasher = functools.partial(argon2.PasswordHasher, time_cost=1, memory_cost=8, parallelism=1)
        patch.setattr(argon2, "PasswordHasher", hasher)
        yield


@contextlib.contextmanager
def staffed(path, authority):
    """Services on a new database at `path`, with an account of each role."""
    database = Database(f"sqlite:///{path}")
    database.migrate()
    services = build_services(database, authority, Endpoints("https://a", "https://a"), clock=Clock())
    for name, role in ((NAME, access.OPERATOR), (INSTALLER, access.INSTALLER), (READER, access.READ_ONLY)):
        services.operators.add(name, PASSWORD, role)
    yield services
    database.close()


def token_of(answer):
    """The form token of a page."""
    return html.unescape(re.search(r'name="form_token" value="([^"]+)"', answer.text)[1])


def log_in(client, name=NAME, password=PASSWORD, **changed):
    page = client.get("/login")
    form = {"form_token": token_of(page), "name": name, "password": password, "next": "/"}
    return client.post("/login", data=form | changed)


def submit(client, path, page="/modules", **form):
    """Send a form with the token of a page."""
    return client.post(path, data={"form_token": token_of(client.get(page)), **form})


def check_accessible(page):
    """Labels for every input, a name for every button, no id twice, table headings with a scope."""
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids)), ids
    for field in re.findall(r"<(?:input|select)\b[^>]*>", page):
        if 'type="hidden"' in field:
            continue
        named = re.search(r'\bid="([^"]+)"', field)
        labelled = (named and f'for="{named[1]}"' in page) or "aria-label" in field
        inside = re.search(r"<label[^>]*>(?:(?!</label>).)*" + re.escape(field), page, re.DOTALL)
        assert labelled or inside, field
    for described in re.findall(r'aria-describedby="([^"]+)"', page):
        assert set(described.split()) <= set(ids), described
    for button in re.findall(r"<button[^>]*>(.*?)</button>", page, re.DOTALL):
        assert button.strip()
    assert not re.search(r"<th(?![^>]*scope=)(?:\s[^>]*)?>", page)
    assert page.count("<h1") == 1
