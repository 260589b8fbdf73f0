"""New names of things that operators see, in one table by release, from which docs/upgrading.md is made.

Old names of settings are accepted until 1.0; the others changed at once.
"""

from typing import Literal, NamedTuple

Kind = Literal["setting", "metric", "log", "control socket", "error code", "check"]


class Renamed(NamedTuple):
    """``note`` says where the name stands, if ``kind`` does not. A setting's name has its tables before it."""

    kind: Kind
    old: str
    new: str
    note: str = ""


IN_0_6_0 = (
    Renamed("setting", "queue_share", "queue_quota"),
    Renamed("setting", "intake_host_share", "intake_host_quota"),
    Renamed("setting", "debt_s", "outbox_deadline_s"),
    Renamed("setting", "max_debts_at_once", "max_outbox_at_once"),
    Renamed("metric", "imgserve_turned_away_total", "imgserve_refusals_total"),
    Renamed("metric", "imgserve_spool_bytes", "imgserve_source_memory_bytes"),
    Renamed("metric", "imgserve_spool_limit_bytes", "imgserve_source_memory_limit_bytes"),
    Renamed("metric", "lane", "role", "label of `imgserve_workers` and `imgserve_waiting_for_worker`"),
    Renamed("metric", "owed", "pending", "`state` of `imgserve_placeholders_left`"),
    Renamed("metric", "given_up", "abandoned", "`state` of `imgserve_placeholders_left`"),
    Renamed("metric", "abandoned", "unreadable", "`state` of `imgserve_placeholders_left`"),
    Renamed("metric", "debt", "outbox", "`stage`, also of spans"),
    Renamed("error code", "queue_share_full", "queue_quota_full", "also in logs and metrics"),
    Renamed("log", "caller", "principal", "field of `accepted` and `refused`"),
    Renamed("log", "debt_paid", "outbox_done", "action"),
    Renamed("log", "debt_unpaid", "outbox_failed", "action"),
    Renamed("log", "debt_put_off", "outbox_put_off", "action"),
    Renamed("log", "debt_bug", "outbox_bug", "action"),
    Renamed("log", "told_bytes", "reported_bytes", "field of `put_differs`"),
    Renamed("control socket", "lanes", "roles", "`GET /v1/server`; in each entry `lane` is `role`"),
    Renamed("control socket", "caller", "principal", "refused jobs; also `imgserve jobs refused --json`"),
    Renamed("check", "debts", "outbox", "row of `imgserve check`"),
)
# Old name -> new name, for ``read``.
SETTINGS = {row.old: row.new for row in IN_0_6_0 if row.kind == "setting"}
