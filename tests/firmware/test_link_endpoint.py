"""Whom a link calls, and as whom."""

from firmware import codec, settings, unique_info
from firmware.errors import TamperError
from firmware.link.endpoint import CREDENTIAL, ENERGY, endpoints, split_url

_CONNECTION = {
    unique_info.CREDENTIAL_URL: b"https://pps.example:8443",
    unique_info.ENERGY_URL: b"https://pps.example:8443",
    unique_info.CA_CERTIFICATE: b"ca",
    unique_info.MODULE_CERTIFICATE: b"certificate",
    unique_info.PRIVATE_KEY: b"key",
}


class _Identity:
    complete = True
    url = "https://maker.example"
    ca = b"maker's ca"
    certificate = b"factory certificate"
    private_key = b"factory key"


class _BrokenIdentity:
    @property
    def complete(self):
        raise TamperError("identity_seal")


def _found(role, fields, identity=_Identity):
    def read_body():
        if fields is None:
            raise TamperError("vault_seal")
        return codec.encode_items(sorted(fields.items()))

    found = []
    for endpoint in endpoints(role, read_body, identity):
        found.append((endpoint.host, endpoint.port, endpoint.issuer))
        if endpoint.issuer == settings.ISSUER_FACTORY_IDENTITY:
            assert (endpoint.ca, endpoint.private_key) == (b"maker's ca", b"factory key")
    return found


_MAKER = ("maker.example", 443, settings.ISSUER_FACTORY_IDENTITY)
_PPS = ("pps.example", 8443, settings.ISSUER_CONNECTION)


def test_s18_the_connection_is_called_first():
    assert _found(CREDENTIAL, _CONNECTION) == [_PPS, _MAKER]


def test_s18_without_a_usable_connection_the_maker_is_called():
    assert _found(CREDENTIAL, {}) == [_MAKER]
    assert _found(CREDENTIAL, None) == [_MAKER]
    for field_id in _CONNECTION:
        if field_id != unique_info.ENERGY_URL:
            without = {other: value for other, value in _CONNECTION.items() if other != field_id}
            assert _found(CREDENTIAL, without) == [_MAKER], field_id


def test_s18_an_identity_that_cannot_be_used_leaves_the_connection():
    class Incomplete:
        complete = False

    for identity in (Incomplete, _BrokenIdentity()):
        assert _found(CREDENTIAL, _CONNECTION, identity) == [_PPS]
        assert _found(CREDENTIAL, {}, identity) == []


def test_s18_energy_is_never_told_with_the_factory_identity():
    for fields in ({}, None, _CONNECTION):
        assert _found(ENERGY, fields) == []


def test_r25_two_servers_are_two_links_and_one_server_is_one():
    other = dict(_CONNECTION)
    other[unique_info.ENERGY_URL] = b"https://energy.example"
    assert _found(CREDENTIAL, other)[0] == _PPS
    assert _found(ENERGY, other) == [("energy.example", 443, settings.ISSUER_CONNECTION)]
    same = dict(_CONNECTION)
    same[unique_info.ENERGY_CA_CERTIFICATE] = b"ca"
    assert _found(ENERGY, same) == []


def test_r25_the_energy_server_has_its_own_ca_where_there_is_one():
    fields = dict(_CONNECTION)
    fields[unique_info.ENERGY_CA_CERTIFICATE] = b"other ca"
    found = list(endpoints(ENERGY, lambda: codec.encode_items(sorted(fields.items())), _Identity))
    assert [(endpoint.host, endpoint.ca) for endpoint in found] == [("pps.example", b"other ca")]
    del fields[unique_info.ENERGY_CA_CERTIFICATE]
    fields[unique_info.ENERGY_URL] = b"https://energy.example"
    found = list(endpoints(ENERGY, lambda: codec.encode_items(sorted(fields.items())), _Identity))
    assert [(endpoint.host, endpoint.ca) for endpoint in found] == [("energy.example", b"ca")]


def test_urls():
    assert split_url("https://a.example") == ("a.example", 443)
    assert split_url("https://127.0.0.1:65535") == ("127.0.0.1", 65535)
