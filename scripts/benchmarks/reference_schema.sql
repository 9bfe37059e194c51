-- The rows of an order and of its fill, without anything a rule would need: what both references write.
CREATE TABLE accounts (id bigint PRIMARY KEY, balance numeric(38, 18) NOT NULL, version integer NOT NULL DEFAULT 0);
CREATE TABLE positions (
    id bigint PRIMARY KEY, qty numeric(38, 18) NOT NULL, cost numeric(38, 18) NOT NULL,
    version integer NOT NULL DEFAULT 0, updated_at timestamptz
);
CREATE TABLE orders (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), client_order_id text NOT NULL, wallet_id bigint NOT NULL,
    instrument_id integer NOT NULL, side text NOT NULL, type text NOT NULL, qty numeric(38, 18) NOT NULL,
    price numeric(38, 18), status text NOT NULL, version integer NOT NULL, cum_qty numeric(38, 18) NOT NULL,
    avg_px numeric(38, 18), held numeric(38, 18) NOT NULL, fees numeric(38, 18) NOT NULL,
    created_at timestamptz NOT NULL, closed_at timestamptz, UNIQUE (wallet_id, client_order_id)
);
CREATE TABLE entries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, kind text NOT NULL, external_ref text NOT NULL,
    posted_at timestamptz NOT NULL
);
CREATE TABLE postings (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, entry_id bigint NOT NULL, account_id bigint NOT NULL,
    currency text NOT NULL, amount numeric(38, 18) NOT NULL, posted_at timestamptz NOT NULL
);
CREATE INDEX ON postings (account_id, posted_at);
CREATE TABLE executions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, order_id uuid NOT NULL, position_id bigint NOT NULL,
    trade_id text NOT NULL UNIQUE, qty numeric(38, 18) NOT NULL, price numeric(38, 18) NOT NULL,
    fee numeric(38, 18) NOT NULL, at timestamptz NOT NULL
);
CREATE INDEX ON executions (order_id);
CREATE TABLE events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, stream bigint NOT NULL, type text NOT NULL,
    payload text NOT NULL, at timestamptz NOT NULL
);
-- three accounts (available and held of the quote asset, available of the base asset) and a position a wallet
INSERT INTO accounts SELECT n, 1000000000 FROM generate_series(1, 3 * 64) n;
INSERT INTO positions SELECT n, 0, 0 FROM generate_series(1, 64) n;
INSERT INTO orders (client_order_id, wallet_id, instrument_id, side, type, qty, price, status, version, cum_qty, held, fees, created_at)
    SELECT 'p' || n, 1 + n % 64, 1, 'BUY', 'MARKET', 1, 1, 'FILLED', 5, 1, 0, 0, now() FROM generate_series(1, :preload) n;
INSERT INTO entries (kind, external_ref, posted_at) SELECT 'trade', 'p' || n, now() FROM generate_series(1, 2 * :preload) n;
INSERT INTO postings (entry_id, account_id, currency, amount, posted_at)
    SELECT n / 4, 1 + n % 192, 'USDT', 1, now() FROM generate_series(1, 8 * :preload) n;
INSERT INTO executions (order_id, position_id, trade_id, qty, price, fee, at)
    SELECT id, wallet_id, client_order_id || '.' || wallet_id, 1, 1, 0, now() FROM orders;
INSERT INTO events (stream, type, payload, at)
    SELECT n % 64, 'order.filled', repeat('x', 600), now() FROM generate_series(1, 2 * :preload) n;
VACUUM ANALYZE;
CHECKPOINT;
