-- What readers may cost of Prosody's one thread and of its memory.

local m_max, m_min = math.max, math.min;
local ipairs, pcall, type = ipairs, pcall, type;

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
		accounts = { all = {}; readers = {}; count = 0 };
		index.accounts = accounts;
	end
	-- Only who may read has one, and those are named in the configuration.
	if not accounts.readers[reader] then
		accounts.readers[reader] = {};
		accounts.count = accounts.count + 1;
	end
	return accounts.all, accounts.readers[reader], accounts.count;
end

-- Whether a reader may take time now: nil, or the accounts from which to take it. Readers together
-- get `share` seconds a second. So that one who runs away with it does not take it from the others, each
-- is sure of an equal part, in an account of its own, for when there is nothing left for all.
--
-- A run that began may end, so that of many readers some are always served, until the debt is as large
-- as the burst.
local function admit(index, reader, share, now, is_start)
	local all, own, count = accounts_of(index, reader);
	local debt = is_start and 0 or max_burst;
	local left = grow(all, now, share, max_burst);
	local own_left = grow(own, now, share / count, max_burst / count);
	if left > -debt then
		return { all };
	elseif own_left > -debt / count then
		return { all, own };
	end
end

local function take(accounts, seconds)
	for _, account in ipairs(accounts) do
		account.left = account.left - seconds;
	end
end

-- Bytes that a connection has still to send. Only the backend (net.server) knows, each in its own way;
-- of one that doesn't tell, nothing is known.
local function unsent(conn)
	local buffer = conn.writebuffer;
	if type(buffer) == "string" then
		return #buffer;
	elseif type(buffer) == "table" and buffer.length then
		return buffer:length(); -- util.dbuffer
	elseif conn.writebufferlen then
		return conn.writebufferlen; -- net.server_event
	elseif type(buffer) == "table" then
		-- COMPAT net.server_epoll before 13.0 keeps a list
		local bytes = 0;
		for _, part in ipairs(buffer) do
			bytes = bytes + #part;
			if bytes > max_unsent then break; end
		end
		return bytes;
	end
	-- COMPAT net.server_select, the default before 0.12
	return conn.bufferlen and conn:bufferlen() or 0;
end

-- Whether a connection has so much to send that its peer can't be reading. Prosody itself gives it up
-- only after three minutes, or at 32 MB (13.0).
local function is_unread(conn)
	if not conn then return false; end
	local ok, bytes = pcall(unsent, conn);
	return ok and bytes > max_unsent;
end

return { admit = admit; is_unread = is_unread; take = take; };
