"""The faults that the project is held to: what a user expects of each, and the tests that hold it.

scripts/generate.py writes the table in docs/explanation/reliability.md from it, and a test checks that every test named
here exists. A campaign of `torture/` is named `torture:NAME`.
"""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    """A fault, the promise, and what holds it: "folder/test_file.py::test_name", or "torture:campaign"."""

    fault: str
    promise: str
    tests: tuple[str, ...]


CASES = (
    Case(
        "Eight and more processes record at once",
        "every call succeeds; nothing is lost",
        ("integration/test_concurrency.py::test_eight_processes_on_a_file_that_does_not_exist_yet", "torture:writers"),
    ),
    Case(
        "`kill -9` of a process that records, before or after its commit",
        "every acknowledged execution is stored; recording it again adds nothing",
        ("integration/test_concurrency.py::test_what_was_acknowledged_survives_a_kill", "torture:recorders"),
    ),
    Case(
        "`kill -9` during an ingest",
        "as many executions as lines",
        (
            "acceptance/test_ingest_faults.py::test_a_killed_ingest_loses_nothing_and_counts_nothing_twice",
            "torture:ingesting",
        ),
    ),
    Case(
        "The disk is full while recording",
        "one line that names the file; the program continues, and the execution is stored when there is space",
        (
            "acceptance/test_bad_databases.py::test_an_import_on_a_full_disk_can_be_run_again",
            "acceptance/test_bad_databases.py::test_a_recorded_execution_waits_for_space",
            "torture:filling",
        ),
    ),
    Case(
        "The disk is full when the database is opened or created",
        "the same line; the file is not damaged",
        ("acceptance/test_doctor_faults.py::test_free_space_is_reported", "torture:faults"),
    ),
    Case(
        "A write or fsync fails at a commit",
        "reported; a retry is safe",
        ("integration/test_store.py::test_adding_twice_adds_once", "torture:faults"),
    ),
    Case(
        "A SQLite with the WAL-reset defect",
        "checkpoints are made under the write lock, and `doctor` reports the version",
        (
            "unit/test_doctor_storage.py::test_a_sqlite_with_the_wal_reset_bug_is_recognised",
            "integration/test_concurrency.py::test_the_log_stays_small",
            "torture:recorders",
        ),
    ),
    Case(
        "The database is on a network file system, or WAL is refused",
        "refused when it is created; `doctor` reports it",
        ("unit/test_doctor_storage.py::test_the_file_system_of_a_path",),
    ),
    Case(
        "The database is another file: text, truncated, empty, of another program",
        "refused by name and never changed",
        (
            "acceptance/test_bad_databases.py::test_a_command_names_what_is_wrong_with_a_database",
            "integration/test_spool.py::test_an_unusable_database_file_is_not_changed",
            "acceptance/test_restore.py::test_another_programs_database_is_never_replaced",
        ),
    ),
    Case(
        "A page is damaged",
        "`doctor` finds it; no backup of it replaces a good one",
        (
            "acceptance/test_doctor_faults.py::test_an_overwritten_page_is_found",
            "acceptance/test_bad_databases.py::test_a_damaged_database_is_not_backed_up",
            "acceptance/test_scheduler.py::test_a_damaged_database_replaces_no_good_backup",
        ),
    ),
    Case(
        "A reader hangs and holds the log",
        "writers continue, `doctor` names the reader, and the log shrinks again",
        (
            "acceptance/test_doctor_faults.py::test_a_wal_held_by_a_reader_is_found",
            "integration/test_concurrency.py::test_a_reader_stops_no_writer_and_sees_its_own_moment",
        ),
    ),
    Case(
        "A fork after the database was opened",
        "the child opens its own connection; nothing is damaged",
        (
            "integration/test_concurrency.py::test_parent_and_child_of_a_fork_both_record",
            "integration/test_concurrency.py::test_a_host_that_closes_or_forks_while_its_threads_record",
        ),
    ),
    Case(
        "A migration fails or is killed",
        "the old version is intact, there is a backup, and a retry works",
        (
            "migration/test_migrations.py::test_a_revision_that_fails_leaves_no_trace",
            "migration/test_migrations.py::test_a_revision_that_is_killed_leaves_no_trace",
            "migration/test_migrations.py::test_a_file_is_backed_up_before_it_is_upgraded",
            "torture:upgrades",
        ),
    ),
    Case(
        "Six processes of the new version start at once",
        "one migrates, the others wait, and none fails",
        (
            "migration/test_migrations.py::test_six_processes_upgrade_an_old_file",
            "migration/test_migrations.py::test_six_processes_upgrade_a_server",
            "torture:upgrades",
        ),
    ),
    Case(
        "The database was written by a newer version",
        "refused with the remedy; nothing is changed",
        ("migration/test_migrations.py::test_a_newer_database_is_refused",),
    ),
    Case(
        "A JSONL file ends with half a line, which is completed later",
        "read once, complete",
        (
            "unit/test_tail.py::test_an_incomplete_line_is_left_for_the_next_time",
            "acceptance/test_executions_followed.py::test_only_new_lines_are_ingested",
            "torture:ingesting",
        ),
    ),
    Case(
        "A JSONL file is rotated, truncated, or rewritten under the same inode",
        "nothing is stored twice; only lines that were removed before they were read are lost",
        (
            "acceptance/test_executions_followed.py::test_lines_of_a_renamed_file_are_ingested",
            "acceptance/test_executions_followed.py::test_a_truncated_file_is_read_from_its_start",
            "unit/test_tail.py::test_a_truncated_or_rewritten_file_is_read_from_its_beginning",
            "torture:ingesting",
        ),
    ),
    Case(
        "Bad lines: not UTF-8, NaN, endless numbers, deep nesting, 100 MB",
        "each is rejected with reason and offset, its neighbours are imported, memory is bounded",
        (
            "acceptance/test_bad_lines.py::test_a_bad_line_is_rejected_and_its_neighbors_are_imported",
            "acceptance/test_bad_lines.py::test_a_line_of_100_megabytes_takes_little_memory",
            "properties/test_damaged_lines.py::test_any_value_in_any_field_is_held_or_refused_by_name",
            "torture:fuzzing",
        ),
    ),
    Case(
        "Unusual times: no zone, a repeated hour, the year 9999, the future, a clock that went back",
        "stored in UTC by a documented rule; the repeated hour is counted once in every sum",
        (
            "acceptance/test_bad_lines.py::test_a_local_time_at_a_clock_change_follows_the_time_zone",
            "acceptance/test_bad_lines.py::test_a_future_execution_is_imported_with_a_note",
            "properties/test_laws.py::test_intervals_at_a_clock_change_are_periods",
            "unit/test_record.py::test_an_instant_lies_between_1970_and_2099",
        ),
    ),
    Case(
        "Negative or impossible tokens, costs, durations; text in place of numbers",
        "rejected with the name of the field",
        (
            "acceptance/test_bad_lines.py::test_every_field_rejects_wrong_types",
            "unit/test_record.py::test_a_count_has_a_minimum_and_a_maximum",
        ),
    ),
    Case(
        "The scheduler: the machine slept, a second one starts, SIGTERM during a job",
        "a due job runs once; the second names the first; SIGTERM ends it cleanly",
        (
            "acceptance/test_scheduler.py::test_a_job_that_was_due_runs_once_at_the_start",
            "acceptance/test_scheduler.py::test_a_second_scheduler_names_the_first",
            "acceptance/test_scheduler.py::test_a_running_job_is_finished_before_the_stop",
            "acceptance/test_scheduler.py::test_after_a_kill_another_scheduler_starts",
        ),
    ),
    Case(
        "A job fails or hangs",
        "recorded with its problem; the other jobs continue",
        (
            "acceptance/test_scheduler.py::test_a_job_that_fails_does_not_stop_the_others",
            "acceptance/test_scheduler.py::test_a_hanging_job_blocks_neither_the_others_nor_the_stop",
        ),
    ),
    Case(
        "Services answer 429, 500, not at all, or refuse for good; the sender is killed",
        "each page arrives at least once under one key, and its end after it; a final refusal is reported",
        (
            "integration/test_outbox_senders.py::test_no_notification_is_lost_whatever_happens",
            "integration/test_channel_services.py::test_pagerduty_gets_no_more_than_it_accepts",
            "integration/test_channel_email.py::test_without_starttls_nothing_is_sent",
            "acceptance/test_alert_story.py::test_an_event_is_resent_after_a_kill_between_sending_and_storing",
            "torture:delivering",
        ),
    ),
    Case(
        "Hostile names: formulas, mentions, escape sequences, line breaks, markup",
        "shown as text everywhere",
        (
            "acceptance/test_outputs_safe.py::test_every_output_is_plain_text",
            "integration/test_channels.py::test_hostile_names_are_inert",
            "integration/test_prometheus.py::test_hostile_names_are_read_back_as_one_line",
            "integration/test_push_datadog.py::test_hostile_names_are_harmless_and_within_limits",
        ),
    ),
    Case(
        "The target of an exporter is down, slow, redirects or fails in part; the push is killed",
        "recording does not wait, nothing is left out, Elasticsearch has nothing twice, no secret is shown",
        (
            "properties/test_pushes.py::test_elasticsearch_has_what_the_store_has",
            "acceptance/test_push_once.py::test_elasticsearch_killed_before_the_acknowledgement",
            "acceptance/test_push_once.py::test_datadog_killed_at_a_datagram",
            "acceptance/test_push_once.py::test_a_hanging_receiver_delays_nothing_else",
            "acceptance/test_push_once.py::test_a_secret_is_never_shown_or_stored",
            "integration/test_prometheus.py::test_a_gateway_that_fails_is_one_line",
        ),
    ),
    Case(
        "The receiver of telemetry is killed while clients send, its disk is full, or the database is locked",
        "what was answered with 200 is stored exactly once; what cannot be kept is asked for again",
        (
            "acceptance/test_receive.py::test_a_killed_receiver_loses_nothing_that_it_acknowledged",
            "acceptance/test_receive.py::test_a_locked_database_delays_and_loses_nothing",
            "integration/test_telemetry_spool.py::test_a_full_disk_is_an_error_and_keeps_what_was_there",
            "integration/test_receiver_server.py::test_what_cannot_be_kept_is_asked_for_again",
            "torture:telemetry",
        ),
    ),
    Case(
        "Requests to the receiver that are slow, cut, endless, wrong or from a web page",
        "each is refused with its reason; nobody waits, and memory is bounded",
        (
            "integration/test_receiver_server.py::test_what_is_wrong_is_refused",
            "integration/test_receiver_server.py::test_slow_clients_hold_nobody",
            "integration/test_receiver_server.py::test_a_gzip_bomb_takes_no_more_room_than_a_body_may",
            "integration/test_receiver_server.py::test_a_web_page_cannot_write",
            "torture:bodies",
        ),
    ),
)
"""Every case, in the order of docs/explanation/reliability.md."""
