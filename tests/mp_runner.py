"""Runs one dual test on MicroPython: mp_runner.py MODULE FUNCTION TIMEOUT_S."""

import sys


def main(module_name, function_name, timeout_s):
    from tests.dual import Skip

    try:
        result = getattr(__import__(module_name), function_name)()
        if hasattr(result, "send"):
            import asyncio

            asyncio.run(asyncio.wait_for(result, timeout_s))
    except Skip as error:
        print("SKIP", error)
    except Exception as error:
        sys.print_exception(error)
        sys.exit(1)


main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
