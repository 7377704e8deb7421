"""What a module without preferences shows: in both languages at once, since it does not know which is read."""

_UNPROVISIONED = ("未設定 Not set up", "初期設定が必要です", "Provisioning needed", "USB: inkan-provision")
_ROOT_GONE = ("改ざん検出 TAMPERED", "記憶が開けません", "Storage unreadable", "USB: inkan-provision")


def show_unprovisioned(canvas, tamper):
    """Draw it. tamper: None, or why the store cannot be opened (root_missing, root_mismatch)."""
    rows = _ROOT_GONE if tamper else _UNPROVISIONED
    canvas.clear()
    canvas.title(rows[0])
    for index in range(1, len(rows)):
        canvas.row(index, rows[index])
    if tamper:
        canvas.row(len(rows), tamper)
