-- What graphics devices did while the run went: made with the first device, so most journals have none of it. Derived from
-- nothing and needed by nothing: the run does not read it, and deleting it loses what `pipe gpu` and spans tell of devices.

create table if not exists gpu_devices (
    number  integer primary key, -- what gpu_samples calls it
    id      text not null unique, -- its UUID
    body    text not null        -- JSON: name, index, driver, memory in bytes, mig, parent, what is sampled
);

-- About a second of a device each. Readings lie at at + their first number, in microseconds.
create table if not exists gpu_samples (
    at          integer not null, -- microseconds since the Unix epoch
    device      integer not null, -- gpu_devices.number
    until       integer not null,
    after_seq   integer not null, -- it became durable after this event and before the next
    energy      text not null,    -- JSON: [[offset, millijoules since the driver was loaded], ...], each time that it moved
    busy        text not null,    -- JSON: [[offset, percent of the time since the entry before in which it computed], ...]
    power_mw    integer,
    memory      integer,          -- bytes in use
    celsius     integer,
    throttled   text,             -- why clocks are held down, with commas: power, heat, power_brake, hardware, sync_boost
    users       text,             -- JSON: [[process, bytes held, percent of time computing, name], ...]; every few seconds
    holes       integer not null, -- how often readings were missed
    lost        integer not null, -- 1: nothing more comes of the device
    primary key (at, device)
) without rowid;
