"""`inkan-provision`: provision the virtual module of a flash image, on the real firmware.

The image is made where there is none. Real boards come with the flashing tool; the module's side is the same.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tools.flash.layout import IMAGE_SIZE
from tools.pps.ca import DevelopmentCa
from tools.provision.service import HOST_KINDS, LANGUAGES, Order, ProvisionError, VirtualConsole, provision
from tools.sim.chips.flash import NorFlash
from tools.sim.module import Module, ModuleStopped


def _parser():
    parser = argparse.ArgumentParser(prog="inkan-provision", description=__doc__.splitlines()[0])
    parser.add_argument("image", type=Path, help="image of the partition `inkan`; made if it is missing")
    parser.add_argument("--serial", required=True, help="serial number, 1 to 32 of A-Z a-z 0-9 -")
    parser.add_argument("--ca", required=True, type=Path, help="folder of the development CA (made if missing)")
    parser.add_argument("--url", required=True, help="the maker's server, https://host[:port]")
    parser.add_argument("--host-kind", choices=HOST_KINDS, default="pcs")
    parser.add_argument("--language", choices=LANGUAGES, default="ja")
    parser.add_argument("--ssid", default="", help="Wi-Fi network; its passphrase is read from standard input")
    parser.add_argument("--ntp-host", default="", help="for certificate dates only")
    parser.add_argument("--no-factory-credential", action="store_true")
    parser.add_argument("--erase", action="store_true", help="after tamper with the root secret: delete everything")
    return parser


async def _run(options, passphrase):
    flash = NorFlash(IMAGE_SIZE)
    if options.image.exists():
        flash.load(options.image.read_bytes())
    ca = DevelopmentCa(options.ca)
    order = Order(
        serial=options.serial,
        url=options.url,
        server_ca_der=ca.pps.certificate_der,
        host_kind=options.host_kind,
        language=options.language,
        ssid=options.ssid,
        passphrase=passphrase,
        ntp_host=options.ntp_host,
        factory_credential=not options.no_factory_credential,
        erase=options.erase,
    )
    with tempfile.TemporaryDirectory() as folder:
        async with Module(flash, folder=Path(folder, "module")) as module:
            await module.power_on()
            label = await provision(VirtualConsole(module).ask, order, ca.sign_factory_request)
    options.image.write_bytes(flash.image())
    return label


def main(arguments=None):
    """Exit code 0 done, 1 refused by the module, 2 bad arguments or no module."""
    options = _parser().parse_args(arguments)
    passphrase = sys.stdin.readline().rstrip("\n") if options.ssid else ""
    try:
        label = asyncio.run(_run(options, passphrase))
    except ProvisionError as error:
        print(f"inkan-provision: {error}", file=sys.stderr)
        return 1
    except (TimeoutError, ModuleStopped, ValueError, OSError) as error:
        print(f"inkan-provision: {error}", file=sys.stderr)
        return 2
    print(f"serial number  {label.serial}")
    if label.id:
        print(f"factory ID     {label.id}")
        print(f"password       {label.password}")
        print("Print these on the label now: they are kept nowhere.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
