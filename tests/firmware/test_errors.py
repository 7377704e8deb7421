"""The error tree, on both interpreters."""

from firmware import errors
from tests.dual import raises


def test_every_error_has_its_own_code():
    codes = {}
    for name in dir(errors):
        kind = getattr(errors, name)
        if isinstance(kind, type) and issubclass(kind, errors.InkanError):
            assert kind.code not in codes, (name, codes[kind.code])
            codes[kind.code] = name
    assert len(codes) >= 12


def test_errors_carry_what_a_caller_acts_on():
    with raises(errors.AuthError) as caught:
        raise errors.AuthError("wrong", 3, 2000)
    assert (caught.value.code, caught.value.failures_left, caught.value.delay_ms) == ("wrong", 3, 2000)
    with raises(errors.InkanError) as caught:
        raise errors.FieldError("customer.name", "too_long")
    assert (caught.value.field, caught.value.reason) == ("customer.name", "too_long")


def test_a_flash_fault_can_be_caught_as_a_store_fault():
    with raises(errors.StoreError):
        raise errors.FlashError()


async def test_raises_lets_another_error_through():
    with raises(errors.SealError):
        with raises(errors.FlashError):
            raise errors.SealError()
