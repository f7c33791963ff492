"""Counting that must not be interrupted: five database functions, made by a migration (spec 4.8, Data 2, 3, 5).

Check and count in one step is one call from Python, so that a row many clients want is held only for as long as
PostgreSQL needs. Each statement inside sees what was committed before it, also what was committed while the call waited
for the account's lock: PostgreSQL gives every statement of a volatile function its own snapshot.

Two calls never wait for each other in a circle: consuming and settling lock the total, then the event, then the day;
ingest and `headroom_count` lock events, then totals, then days. The two orders never meet on one event, because what
is consumed has a source of its own.
"""

from __future__ import annotations

from typing import Final

# Display units -> stored units, half-up to a whole step: the same rule as usage.rounding.stored_quantity. Halves are
# found in whole steps, because a quotient of numerics is already rounded.
STORED: Final = """
CREATE OR REPLACE FUNCTION headroom_stored(shown numeric, unit_size integer, step numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT div(2 * shown * unit_size + step, 2 * step) * step
$$;
"""

# The step of stored quantities of a metric `m`: the rule of usage.rounding.
STEP: Final = "CASE WHEN m.kind <> 'duration' THEN 0.000001 WHEN m.increment_next > 0 THEN m.increment_next ELSE 1 END"

# When something counts as received, for statements that order themselves with closings (Data 5): the account's lock,
# held shared until the transaction ends, and then the later of `p_now` and the first instant after the last cut. NULL
# when the account has ended. What the calling statement itself sees may be older than the lock; this is not.
RECEIVED: Final = """
CREATE OR REPLACE FUNCTION headroom_received_at(p_account bigint, p_now timestamptz, p_lock_base bigint)
RETURNS timestamptz LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(p_lock_base + p_account);
    RETURN (SELECT greatest(p_now, a.last_cut_at + interval '1 microsecond') FROM usage_account a
             WHERE a.id = p_account AND (a.ended_at IS NULL OR a.ended_at > p_now));
END $$;
"""

# What the answers are made of. `outcome` says what happened; anything but granted and settled changed nothing (a
# refusal may have released expired reservations).
_ANSWER: Final = """
    OUT outcome text, OUT unit_size integer, OUT ends_at timestamptz, OUT quantity numeric, OUT reserved numeric,
    OUT hard_limit numeric, OUT expires_at timestamptz, OUT is_passed boolean
"""

# Consume (`p_keep_for` NULL) or reserve. Quantities come in display units. `p_may_pass` false: a grant that would pass
# the total's next level changes nothing and answers `passes_level`, because the news must commit with the count.
TAKE: Final = f"""
CREATE OR REPLACE FUNCTION headroom_take(
    p_account bigint, p_workspace bigint, p_metric text, p_quantity numeric, p_source text, p_id text, p_key uuid,
    p_now timestamptz, p_keep_for interval, p_may_pass boolean, p_lock_base bigint, {_ANSWER}
) LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    is_kept constant boolean := p_keep_for IS NOT NULL;
    n numeric; used numeric; held numeric; released numeric; in_time numeric;
    v_metric bigint; v_kind text; v_step numeric;
    v_received timestamptz; v_cut timestamptz; v_ended timestamptz; v_at timestamptz;
    v_period timestamptz; v_ends timestamptz; v_day date; v_next numeric;
    s_workspace bigint; s_metric bigint; s_quantity numeric;
    is_swept boolean := false;
BEGIN
    SELECT m.id, m.kind, m.unit_size,
           {STEP}
      INTO v_metric, v_kind, unit_size, v_step FROM usage_metric m WHERE m.key = p_metric AND m.is_active;
    IF NOT FOUND THEN outcome := 'unknown_metric'; RETURN; END IF;
    IF v_kind = 'level' THEN outcome := 'level_metric'; RETURN; END IF;
    n := headroom_stored(p_quantity, unit_size, v_step);
    IF n <= 0 THEN outcome := 'too_small'; RETURN; END IF;

    PERFORM pg_advisory_xact_lock_shared(p_lock_base + p_account);
    SELECT a.ended_at, a.last_cut_at INTO v_ended, v_cut FROM usage_account a WHERE a.id = p_account;
    v_received := greatest(p_now, v_cut + interval '1 microsecond');
    -- What was counted before the account's end may be asked again after it, and is answered by its last period.
    v_at := least(p_now, v_ended - interval '1 microsecond');
    SELECT p.starts_at, p.ends_at, (v_at AT TIME ZONE p.zone)::date INTO v_period, v_ends, v_day FROM usage_period p
     WHERE p.account_id = p_account AND p.starts_at <= v_at ORDER BY p.starts_at DESC LIMIT 1;
    IF NOT FOUND OR v_at >= v_ends THEN outcome := 'no_period'; RETURN; END IF;
    ends_at := v_ends;

    IF is_kept THEN
        SELECT r.workspace_id, r.metric_id, r.quantity, r.expires_at INTO s_workspace, s_metric, s_quantity, expires_at
          FROM usage_reservation r WHERE r.account_id = p_account AND r.key = p_key;
    ELSE
        SELECT e.workspace_id, e.metric_id, e.quantity INTO s_workspace, s_metric, s_quantity
          FROM usage_usageevent e WHERE e.account_id = p_account AND e.key = p_key;
    END IF;
    IF FOUND THEN
        outcome := CASE WHEN (s_workspace, s_metric, s_quantity) = (p_workspace, v_metric, n) THEN 'duplicate'
                        ELSE 'id_reused' END;
        SELECT t.quantity, t.reserved, t.hard_limit INTO quantity, reserved, hard_limit FROM usage_usagetotal t
         WHERE t.account_id = p_account AND t.workspace_id = p_workspace AND t.metric_id = v_metric
           AND t.period = v_period;
        IF NOT FOUND THEN
            quantity := 0; reserved := 0;
            SELECT l.quantity INTO hard_limit FROM usage_usagelimit l
             WHERE l.account_id = p_account AND l.workspace_id = p_workspace AND l.metric_id = v_metric
               AND l.from_period <= v_period ORDER BY l.from_period DESC LIMIT 1;
        END IF;
        RETURN;
    END IF;
    IF v_ended <= p_now THEN outcome := 'account_ended'; RETURN; END IF;

    used := CASE WHEN is_kept THEN 0 ELSE n END;
    held := n - used;
    in_time := CASE WHEN v_received < v_ends THEN used ELSE 0 END;
    LOOP
        UPDATE usage_usagetotal t
           SET quantity = t.quantity + used, quantity_in_time = t.quantity_in_time + in_time,
               reserved = t.reserved + held, seq = t.seq + 1,
               last_received_at = greatest(t.last_received_at, v_received)
         WHERE t.account_id = p_account AND t.workspace_id = p_workspace AND t.metric_id = v_metric
           AND t.period = v_period
           AND (t.hard_limit IS NULL OR t.quantity + t.reserved + n <= t.hard_limit)
           AND (p_may_pass OR t.next_level IS NULL OR t.next_level <= t.quantity OR t.next_level > t.quantity + used)
        RETURNING t.quantity, t.reserved, t.hard_limit,
                  coalesce(t.next_level > t.quantity - used AND t.next_level <= t.quantity, false)
          INTO quantity, reserved, hard_limit, is_passed;
        EXIT WHEN FOUND;

        SELECT t.quantity, t.reserved, t.hard_limit, t.next_level INTO quantity, reserved, hard_limit, v_next
          FROM usage_usagetotal t
         WHERE t.account_id = p_account AND t.workspace_id = p_workspace AND t.metric_id = v_metric
           AND t.period = v_period;
        IF FOUND THEN
            IF hard_limit IS NULL OR quantity + reserved + n <= hard_limit THEN
                -- It fits: the update stepped back from a level, or the row changed between the two statements.
                IF NOT p_may_pass AND v_next > quantity AND v_next <= quantity + used THEN
                    outcome := 'passes_level'; RETURN;
                END IF;
                CONTINUE;
            END IF;
            IF is_swept OR reserved = 0 THEN outcome := 'limit_reached'; RETURN; END IF;
            is_swept := true;
            PERFORM 1 FROM usage_usagetotal t
             WHERE t.account_id = p_account AND t.workspace_id = p_workspace AND t.metric_id = v_metric
               AND t.period = v_period
               FOR NO KEY UPDATE;
            WITH expired AS (
                UPDATE usage_reservation r SET state = 'expired'
                 WHERE r.account_id = p_account AND r.workspace_id = p_workspace AND r.metric_id = v_metric
                   AND r.period = v_period AND r.state = 'open' AND r.expires_at <= p_now
                RETURNING r.quantity
            ) SELECT sum(expired.quantity) INTO released FROM expired;
            IF released IS NOT NULL THEN
                UPDATE usage_usagetotal t SET reserved = t.reserved - released
                 WHERE t.account_id = p_account AND t.workspace_id = p_workspace AND t.metric_id = v_metric
                   AND t.period = v_period;
            END IF;
            CONTINUE;
        END IF;

        -- The first of its period: the limit in force is copied onto the row, and the check holds for this branch too.
        SELECT l.quantity INTO hard_limit FROM usage_usagelimit l
         WHERE l.account_id = p_account AND l.workspace_id = p_workspace AND l.metric_id = v_metric
           AND l.from_period <= v_period ORDER BY l.from_period DESC LIMIT 1;
        IF hard_limit < n THEN quantity := 0; reserved := 0; outcome := 'limit_reached'; RETURN; END IF;
        IF NOT p_may_pass THEN outcome := 'passes_level'; RETURN; END IF;
        INSERT INTO usage_usagetotal AS t (account_id, workspace_id, metric_id, period, quantity, quantity_in_time,
                                           reserved, hard_limit, seq, evaluated_seq, next_level, last_received_at)
        VALUES (p_account, p_workspace, v_metric, v_period, used, in_time, held, hard_limit, 1, 0, 0, v_received)
        ON CONFLICT (account_id, workspace_id, metric_id, period) DO NOTHING
        RETURNING t.quantity, t.reserved, true INTO quantity, reserved, is_passed;
        EXIT WHEN FOUND;
    END LOOP;

    outcome := 'granted';
    IF is_kept THEN
        expires_at := p_now + p_keep_for;
        INSERT INTO usage_reservation (account_id, key, reservation_id, workspace_id, metric_id, period, quantity,
                                       state, created_at, expires_at)
        VALUES (p_account, p_key, p_id, p_workspace, v_metric, v_period, n, 'open', p_now, expires_at);
        RETURN;
    END IF;
    -- No ON CONFLICT: of two calls with one id the second fails here, which takes its count back. Its content is
    -- compared by the columns themselves, so the key stands in for the hash.
    INSERT INTO usage_usageevent (account_id, key, content, workspace_id, metric_id, period, day, quantity, occurred_at,
                                  received_at, source, event_id, is_void)
    VALUES (p_account, p_key, p_key, p_workspace, v_metric, v_period, v_day, n, p_now, v_received,
            p_source, p_id, false);
    INSERT INTO usage_usageday AS d (account_id, workspace_id, metric_id, period, day, quantity)
    VALUES (p_account, p_workspace, v_metric, v_period, v_day, n)
    ON CONFLICT (account_id, workspace_id, metric_id, period, day)
    DO UPDATE SET quantity = d.quantity + EXCLUDED.quantity;
END $$;
"""  # noqa: S608 - a constant of this module

# The second act on a reservation: count `p_quantity` (display units; 0 = release) and give the reserved quantity back.
# What has happened is recorded whatever the limit says. Its event happened when the quantity was reserved.
SETTLE: Final = f"""
CREATE OR REPLACE FUNCTION headroom_settle(
    p_account bigint, p_workspace bigint, p_quantity numeric, p_source text, p_key uuid, p_now timestamptz,
    p_may_pass boolean, p_lock_base bigint, {_ANSWER}
) LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    n numeric; v_metric bigint; v_step numeric; v_id text; v_created timestamptz; v_day date;
    v_received timestamptz; v_cut timestamptz; v_period timestamptz; v_next numeric;
    v_state text; v_reserved numeric; v_settled numeric;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(p_lock_base + p_account);
    SELECT a.last_cut_at INTO v_cut FROM usage_account a WHERE a.id = p_account;
    v_received := greatest(p_now, v_cut + interval '1 microsecond');

    SELECT r.metric_id, r.period, r.reservation_id, r.created_at, r.quantity, m.unit_size,
           {STEP}
      INTO v_metric, v_period, v_id, v_created, v_reserved, unit_size, v_step
      FROM usage_reservation r JOIN usage_metric m ON m.id = r.metric_id
     WHERE r.account_id = p_account AND r.key = p_key AND r.workspace_id = p_workspace;
    IF NOT FOUND THEN outcome := 'unknown_reservation'; RETURN; END IF;
    n := headroom_stored(p_quantity, unit_size, v_step);
    IF p_quantity > 0 AND n = 0 THEN outcome := 'too_small'; RETURN; END IF;
    SELECT p.ends_at, (v_created AT TIME ZONE p.zone)::date INTO ends_at, v_day FROM usage_period p
     WHERE p.account_id = p_account AND p.starts_at = v_period;

    SELECT t.quantity, t.reserved, t.hard_limit, t.next_level INTO quantity, reserved, hard_limit, v_next
      FROM usage_usagetotal t
     WHERE t.account_id = p_account AND t.workspace_id = p_workspace AND t.metric_id = v_metric
       AND t.period = v_period
       FOR NO KEY UPDATE;
    SELECT r.state, r.settled_quantity INTO v_state, v_settled
      FROM usage_reservation r WHERE r.account_id = p_account AND r.key = p_key FOR NO KEY UPDATE;
    IF v_state IN ('settled', 'released') THEN
        outcome := CASE WHEN coalesce(v_settled, 0) = n THEN 'settled' ELSE 'other_act' END;
        RETURN;
    END IF;
    is_passed := coalesce(v_next > quantity AND v_next <= quantity + n, false);
    IF is_passed AND NOT p_may_pass THEN outcome := 'passes_level'; RETURN; END IF;

    UPDATE usage_reservation r
       SET state = CASE WHEN n = 0 THEN 'released' ELSE 'settled' END, settled_quantity = n
     WHERE r.account_id = p_account AND r.key = p_key;
    UPDATE usage_usagetotal t
       SET quantity = t.quantity + n,
           quantity_in_time = t.quantity_in_time + CASE WHEN v_received < ends_at THEN n ELSE 0 END,
           reserved = t.reserved - CASE WHEN v_state = 'open' THEN v_reserved ELSE 0 END,
           seq = t.seq + 1, last_received_at = greatest(t.last_received_at, v_received)
     WHERE t.account_id = p_account AND t.workspace_id = p_workspace AND t.metric_id = v_metric
       AND t.period = v_period
    RETURNING t.quantity, t.reserved, t.hard_limit INTO quantity, reserved, hard_limit;
    outcome := 'settled';
    IF n = 0 THEN RETURN; END IF;
    INSERT INTO usage_usageevent (account_id, key, content, workspace_id, metric_id, period, day, quantity, occurred_at,
                                  received_at, source, event_id, is_void)
    VALUES (p_account, p_key, p_key, p_workspace, v_metric, v_period, v_day, n, v_created, v_received,
            p_source, v_id, false);
    INSERT INTO usage_usageday AS d (account_id, workspace_id, metric_id, period, day, quantity)
    VALUES (p_account, p_workspace, v_metric, v_period, v_day, n)
    ON CONFLICT (account_id, workspace_id, metric_id, period, day)
    DO UPDATE SET quantity = d.quantity + EXCLUDED.quantity;
END $$;
"""  # noqa: S608 - a constant of this module

# One event of an application that Python has judged and placed, in the account as it was read: `p_cut` and `p_ended`
# are its last closing's cut and its end. Anything but `counted` and `stored` (with the stored event's content) changed
# nothing: the account is another by now, or the total is new or passes its level and the news must commit with it.
COUNT: Final = """
CREATE OR REPLACE FUNCTION headroom_count(
    p_account bigint, p_workspace bigint, p_metric bigint, p_period timestamptz, p_ends timestamptz, p_day date,
    p_quantity numeric, p_occurred timestamptz, p_received timestamptz, p_source text, p_id text, p_key uuid,
    p_content uuid, p_cut timestamptz, p_ended timestamptz, p_may_pass boolean, p_lock_base bigint,
    OUT outcome text, OUT content bytea
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_quantity numeric; v_next numeric;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(p_lock_base + p_account);
    SELECT t.quantity, t.next_level INTO v_quantity, v_next
      FROM usage_account a
      JOIN usage_usagetotal t ON t.account_id = a.id AND t.workspace_id = p_workspace AND t.metric_id = p_metric
       AND t.period = p_period
     WHERE a.id = p_account AND a.last_cut_at IS NOT DISTINCT FROM p_cut AND a.ended_at IS NOT DISTINCT FROM p_ended;
    IF NOT FOUND THEN outcome := 'changed'; RETURN; END IF;
    IF NOT p_may_pass AND v_next > v_quantity AND v_next <= v_quantity + p_quantity THEN
        outcome := 'passes_level'; RETURN;
    END IF;

    INSERT INTO usage_usageevent AS e (account_id, key, content, workspace_id, metric_id, period, day, quantity,
                                       occurred_at, received_at, source, event_id, is_void)
    VALUES (p_account, p_key, p_content, p_workspace, p_metric, p_period, p_day, p_quantity, p_occurred, p_received,
            p_source, p_id, false)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        SELECT 'stored', uuid_send(e.content) INTO outcome, content
          FROM usage_usageevent e WHERE e.account_id = p_account AND e.key = p_key;
        RETURN;
    END IF;
    UPDATE usage_usagetotal t
       SET quantity = t.quantity + p_quantity,
           quantity_in_time = t.quantity_in_time + CASE WHEN p_received < p_ends THEN p_quantity ELSE 0 END,
           seq = t.seq + 1, last_received_at = greatest(t.last_received_at, p_received)
     WHERE t.account_id = p_account AND t.workspace_id = p_workspace AND t.metric_id = p_metric AND t.period = p_period
       AND (p_may_pass OR t.next_level IS NULL OR t.next_level <= t.quantity OR t.next_level > t.quantity + p_quantity);
    IF NOT FOUND THEN
        -- The level came within reach since it was read: take the event back and do it the long way.
        RAISE SQLSTATE '40001' USING MESSAGE = 'the total changed meanwhile';
    END IF;
    INSERT INTO usage_usageday AS d (account_id, workspace_id, metric_id, period, day, quantity)
    VALUES (p_account, p_workspace, p_metric, p_period, p_day, p_quantity)
    ON CONFLICT (account_id, workspace_id, metric_id, period, day)
    DO UPDATE SET quantity = d.quantity + EXCLUDED.quantity;
    outcome := 'counted';
END $$;
"""

CREATE_FUNCTIONS: Final = STORED + RECEIVED + TAKE + SETTLE + COUNT
DROP_FUNCTIONS: Final = """
DROP FUNCTION IF EXISTS headroom_count;
DROP FUNCTION IF EXISTS headroom_take;
DROP FUNCTION IF EXISTS headroom_settle;
DROP FUNCTION IF EXISTS headroom_received_at;
DROP FUNCTION IF EXISTS headroom_stored;
"""
