"""MicroPython: a module that has a contract, a site, and a connection to the server of the options."""

import unit_rig

from firmware import settings


def enter_contract(rig, options):
    """What a technician would have entered; returns the open session.

    options: host, port, ca, certificate, key (file names), site, contract.
    """
    rig.acquisition.accept(unit_rig.message(1, lifetime_s=None), settings.ISSUER_CONNECTION)
    session = rig.open()
    url = "https://" + options["host"] + ":" + str(options["port"])
    connection = {0x51: url, 0x52: url}
    for field_id, name in ((0x53, "ca"), (0x54, "certificate"), (0x55, "key")):
        with open(options[name], "rb") as file:
            connection[field_id] = file.read()
    session.change_connection(1, session.generation, connection)
    session.change(2, session.generation, {0x14: options["contract"], 0x31: options["site"]})
    return session
