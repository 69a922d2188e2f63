-- What readers may cost of Prosody's one thread and of its memory.

local m_max, m_min = math.max, math.min;
local type = type;

-- Seconds that readers together may take at once, before their share begins to count: the first
-- reading of 100,000 series is 0.3 s on a small server, and there may be several readers.
local max_burst = 5;
-- Bytes of answers that may wait until a reader takes them. One that asks for a page when it has the
-- last one leaves no more than 48 KB.
local max_unsent = 512 * 1024;

-- What is left of an account that gets `rate` seconds a second.
local function grow(account, now, rate, most)
	-- The clock may be set back.
	account.left = m_min(most, (account.left or most) + m_max(0, now - (account.at or now)) * rate);
	account.at = now;
	return account.left;
end

-- The accounts of a process: of all readers, and of each.
local function accounts_of(index, reader)
	local accounts = index.accounts;
	if not accounts then
		accounts = { all = { spent = 0 }; readers = {}; count = 0 };
		index.accounts = accounts;
	end
	-- Only who may read has one, and those are named in the configuration.
	if not accounts.readers[reader] then
		accounts.readers[reader] = {};
		accounts.count = accounts.count + 1;
	end
	return accounts.all, accounts.readers[reader], accounts.count;
end

-- Whether a reader may take time now. Readers together get `share` seconds a second. Who runs away
-- with it must not take it from the others, so that each is sure of an equal part of that share,
-- and gets more while there is more.
--
-- A run that began may end, so that of many readers some are always served, until the debt is as large
-- as the burst.
local function may_take(index, reader, share, now, is_start)
	local all, own, count = accounts_of(index, reader);
	local debt = is_start and 0 or max_burst;
	local left = grow(all, now, share, max_burst);
	local own_left = grow(own, now, share / count, max_burst / count);
	return left > -debt or own_left > -debt / count;
end

-- Takes seconds from what is left.
local function take(index, reader, seconds)
	local all, own, count = accounts_of(index, reader);
	all.spent = all.spent + seconds;
	all.left = all.left - seconds;
	-- What was taken while there was more than enough is not held against anybody for long.
	own.left = m_max(own.left - seconds, -max_burst / count);
end

-- Whether a connection has so much to send that its peer can't be reading. Prosody itself gives it up
-- after three minutes, or 32 MB (13.0). How much it is only the backend (net.server) knows; of one that
-- does not tell, nothing is known.
local function is_unread(conn)
	if not conn then return false; end
	local buffer = conn.writebuffer;
	-- COMPAT net.server_event, and net.server_select, the default before 0.12
	if conn.writebufferlen then return conn.writebufferlen > max_unsent; end
	if not buffer and conn.bufferlen then return conn:bufferlen() > max_unsent; end
	if type(buffer) ~= "table" then
		return buffer ~= nil and #buffer > max_unsent;
	end
	-- COMPAT net.server_epoll before 13.0 keeps a list
	local bytes = 0;
	for i = 1, #buffer do
		bytes = bytes + #buffer[i];
		if bytes > max_unsent then return true; end
	end
	return false;
end

return { is_unread = is_unread; may_take = may_take; take = take; };
