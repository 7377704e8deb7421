"""The error tree. One class per thing that a caller can do something about.

Every class has a `code`: the short text that travels to a screen, a server or
an audit record. Neither a code nor a message ever holds a secret or a value
of the unique information.
"""


class InkanError(Exception):
    """Root of every error that the firmware raises on purpose."""

    code = "error"


class SealError(InkanError):
    """Sealed bytes did not open: wrong key, wrong label or changed bytes."""

    code = "seal"


class StoreError(InkanError):
    """The store cannot do what was asked."""

    code = "store"


class FlashError(StoreError):
    """The flash did not take an erase or a program, or could not be read."""

    code = "flash"


class TamperError(InkanError):
    """What is stored is not what this module wrote last.

    `what` names the finding: root_missing, vault_seal, vault_rollback,
    guard_missing and so on.
    """

    code = "tamper"

    def __init__(self, what):
        super().__init__(what)
        self.what = what


class FieldError(InkanError):
    """A value does not fit its field. `reason` never repeats the value."""

    code = "field"

    def __init__(self, field, reason):
        super().__init__(field, reason)
        self.field = field
        self.reason = reason


class AuthError(InkanError):
    """A session was refused. `code` says why; "wrong" is ID and password alike.

    `failures_left` is what the module allows before it locks, `delay_ms` how
    long it answers nothing now.
    """

    code = "auth"

    def __init__(self, code, failures_left, delay_ms):
        super().__init__(code)
        self.code = code
        self.failures_left = failures_left
        self.delay_ms = delay_ms


class CredentialError(InkanError):
    """Authentication information is missing, ended or malformed. `code` says which."""

    code = "credential"

    def __init__(self, code):
        super().__init__(code)
        self.code = code


class SessionError(InkanError):
    """There is no open session, or it may not do this. `code` says which."""

    code = "session"

    def __init__(self, code):
        super().__init__(code)
        self.code = code


class LinkError(InkanError):
    """A peer could not be reached or did not keep to the protocol. `code` says how."""

    code = "link"

    def __init__(self, code):
        super().__init__(code)
        self.code = code


class TimeError(InkanError):
    """There is no trustworthy time."""

    code = "time"


class ProvisioningError(InkanError):
    """The module cannot be provisioned, or has not been."""

    code = "provisioning"
