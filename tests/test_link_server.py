"""The whole link, module's units and all, over real TLS: against servers of the test's own, and the PPS's."""

import asyncio
import queue
import threading

import pytest

from tests.link import micropython
from tests.link.authority import Authority, der, scalar, write_pem
from tests.link.server import TlsServer, answer, read_request
from tests.pps_client import START, Clock, certificate_request, new_key, running_server

SERIAL = "INK-00000001"
UNIX_TO_2000_S = 946_684_800


def files(folder, ca, certificate, key):
    """Options for a client out of three pieces of DER."""
    folder = folder / "module"
    folder.mkdir()
    names = {}
    for name, data in (("ca", ca), ("certificate", certificate), ("key", key)):
        (folder / name).write_bytes(data)
        names[name] = str(folder / name)
    return names | {"host": "localhost", "serial": SERIAL}


class Script:
    """A server that says the obvious to hello, ack and audit, and lets polls wait for `push`."""

    def __init__(self, folder, server_ca=None):
        self.ca = Authority()
        self.pem = write_pem(folder / "server.pem", *(server_ca or self.ca).server())
        certificate, key = self.ca.module(SERIAL)
        self.options = files(folder, self.ca.der, der(certificate), scalar(key))
        self.seen = queue.Queue()  # (name, message, number of the connection)
        self._polls = queue.Queue()  # a queue for the answer of each poll that waits
        self._polled = None
        self._wrong = {}
        self._numbers = iter(range(1, 100))

    def handle(self, connection):
        number = next(self._numbers)
        if self._polled:
            self._polled.put(None)  # its client is here now
            self._polls = queue.Queue()
        while request := read_request(connection):
            name = request.path.rsplit("/", 1)[1]
            self.seen.put((name, request.json, number))
            if name == "poll":
                self._polled = queue.Queue()
                self._polls.put(self._polled)
                message = self._polled.get()
            else:
                message = self._answer(name, request.json)
                message = self._wrong.pop(name, lambda right: right)(message)
            if message is None:
                return
            connection.sendall(answer(message))

    @staticmethod
    def _answer(name, message):
        if name == "hello":
            state = message["state"]
            names = ("generation", "attempts", "attempts_number", "audit_number", "boot_count")
            highest = {name: state[name] for name in names}
            return {"nonce": message["nonce"], "now": START, "audit_through": 0, "highest": highest}
        return {"ok": True} if name == "ack" else {"through": message["records"][-1]["number"]}

    def push(self, message):
        """Answer the poll that waits, or the next; None hangs up."""
        self._polls.get(timeout=60).put(message)

    def be_wrong(self, name, change):
        """Put `change(right answer)` in the place of the next answer to a request of that name."""
        self._wrong[name] = change

    def until(self, wanted):
        """The next request of a name, past others; (message, number of the connection)."""
        while True:
            name, message, number = self.seen.get(timeout=60)
            if name == wanted:
                return message, number


def credential(sequence=1):
    point = new_key().public_key().public_numbers()
    return {
        "sequence": sequence,
        "w0": "11" * 32,
        "l": f"04{point.x:064x}{point.y:064x}",
        "salt": "22" * 16,
        "iterations": 10_000,
        "password_digits": 8,
        "lifetime_s": 86_400,
        "max_successes": 3,
        "max_failures": 5,
        "max_changes": 20,
        "scope": {"see": ["site"], "change": ["site"], "delete": [], "recover": False},
    }


def test_r7_a_credential_comes_over_one_kept_connection(tmp_path):
    script = Script(tmp_path)
    with (
        TlsServer(script.handle, script.pem, script.ca) as server,
        micropython.Talk("link_client", script.options | {"port": server.port}) as module,
    ):
        assert script.until("poll")[1] == 1
        script.push({"credential": credential(), "revoked": 0})
        message, number = script.until("ack")
        assert (message["sequence"], message["result"], number) == (1, "accepted", 1)
        last = module.until(lambda line: line["credential"])
        assert last["credential"]["ended"] is None
        assert START - UNIX_TO_2000_S <= last["now"] < START - UNIX_TO_2000_S + 60
        assert script.until("poll")[1] == 1
        script.push(None)


def test_an_alarm_breaks_a_poll_off_and_goes_out_at_once(tmp_path):
    script = Script(tmp_path)
    with TlsServer(script.handle, script.pem, script.ca) as server:
        with micropython.Talk("link_client", script.options | {"port": server.port}) as module:
            script.until("poll")
            module.tell("tamper")
            message, number = script.until("hello")
            assert (message["state"]["tamper"], number) == ("vault_seal", 2)
            assert script.until("poll")[1] == 2
            assert all(line["error"] is None for line in module.lines)
        script.push(None)


def test_s15_a_server_that_the_ca_does_not_vouch_for_is_not_even_asked(tmp_path):
    script = Script(tmp_path, server_ca=Authority())
    with (
        TlsServer(script.handle, script.pem, script.ca) as server,
        micropython.Talk("link_client", script.options | {"port": server.port}) as module,
    ):
        last = module.until(lambda line: line["error"])
        assert (last["error"], last["now"]) == ("tls_ca", None)
        assert script.seen.empty()


def changed(**fields):
    return lambda right: right | fields


WRONG_TYPES = {
    "hello: now": ("hello", changed(now="1790000000")),
    "hello: nonce": ("hello", changed(nonce=17)),
    "hello: highest": ("hello", changed(highest=[1, 2, 3])),
    "hello: a counter": ("hello", lambda right: right | {"highest": right["highest"] | {"attempts": None}}),
    "hello: audit_through": ("hello", changed(audit_through=1.5)),
    "audit: through": ("audit", changed(through="all")),
    "poll: revoked": ("poll", changed(credential=None, revoked="0")),
    "poll: credential": ("poll", changed(credential=[credential()], revoked=0)),
    "poll: sequence": ("poll", changed(credential=credential("1"), revoked=0)),
    "poll: nothing of it": ("poll", lambda right: {"credentials": {}, "note": "x" * 500}),
}


def test_r27_right_json_with_wrong_types_is_named_within_8_kib(tmp_path):
    """The whole link, with 8 KiB of heap more than it takes while it waits, says what was wrong and goes on."""
    script = Script(tmp_path)
    options = {"retry_ms": 20}
    with (
        TlsServer(script.handle, script.pem, script.ca) as server,
        micropython.Talk("link_client", script.options | options | {"port": server.port}) as module,
    ):
        module.until(lambda line: line["online"])
        module.tell("spare 8192")
        module.until(lambda line: "spare" in line)
        for name, change in WRONG_TYPES.values():
            if name == "poll":
                script.push(change({}))
            else:
                script.be_wrong(name, change)
                module.tell("hello")
            assert module.until(lambda line: line["error"])["error"] == "bad_answer"
            if name != "hello":  # which comes again by itself
                module.tell("hello")
            module.until(lambda line: line["online"])
        script.push(None)


@pytest.mark.asyncio
async def test_r7_r8_the_pps_issues_and_revokes(tmp_path):
    """From the order to the module's flash and back to the server's books."""
    async with running_server(tmp_path, Clock()) as server:
        server.register_module(SERIAL, "a house")
        key = new_key()
        certificate = server.certify_connection(SERIAL, certificate_request(key, SERIAL))
        given = files(tmp_path, server.ca.pps.certificate_der, certificate, scalar(key))
        given["port"] = server.module_port

        def follow():
            with micropython.Talk("link_client", given) as module:
                module.until(lambda line: line["online"])
                issue()
                accepted = module.until(lambda line: line["credential"])
                revoke()
                ended = module.until(lambda line: line["credential"]["ended"])
                return accepted["credential"], ended["credential"]

        loop = asyncio.get_running_loop()

        def within_the_loop(function, *arguments):
            done = threading.Event()

            def run():
                function(*arguments)
                done.set()

            loop.call_soon_threadsafe(run)
            assert done.wait(30)

        def issue():
            within_the_loop(server.issue_credential, SERIAL)

        def revoke():
            within_the_loop(server.revoke_credentials, SERIAL)

        accepted, ended = await asyncio.to_thread(follow)
        assert (accepted["sequence"], accepted["ended"]) == (1, None)
        assert (ended["sequence"], ended["ended"]) == (1, "revoked")
