-- Limits how much of Prosody's time and memory the readers of statistics may use.

local m_max, m_min = math.max, math.min;
local ipairs, pcall, type = ipairs, pcall, type;

-- Seconds that an account holds at most, so that readers may use them in a burst. The first run over 100,000 series
-- takes 0.3 s on a small server, and there may be several readers.
local max_burst = 5;
-- Bytes of unsent answers on a connection above which requests are refused. A reader that waits for each page
-- leaves at most 48 KB unsent.
local max_unsent = 512 * 1024;

-- Adds the time that an account earned since the last call, at `rate` seconds per second and up to `max`.
-- Returns the balance.
local function refill(account, now, rate, max)
	-- The clock may be set back.
	account.left = m_min(max, (account.left or max) + m_max(0, now - (account.at or now)) * rate);
	account.at = now;
	return account.left;
end

-- The shared account of all readers, the account of this reader, and the number of readers.
local function get_accounts(index, reader)
	local accounts = index.accounts;
	if not accounts then
		accounts = { all = {}; readers = {}; count = 0 };
		index.accounts = accounts;
	end
	-- The table stays small: only readers with access get an account, and the configuration names them.
	if not accounts.readers[reader] then
		accounts.readers[reader] = {};
		accounts.count = accounts.count + 1;
	end
	return accounts.all, accounts.readers[reader], accounts.count;
end

-- Returns the accounts to charge if the reader may use time now, or nil. All readers together get `share` seconds
-- per second. Each reader also has an account of its own with an equal part of that. It is used when the shared
-- account is empty, so that one greedy reader can't lock out the others.
--
-- A run that has begun may go into debt, up to the size of a burst. So when many readers compete, some of them
-- always finish their runs.
local function admit(index, reader, share, now, is_start)
	local all, own, count = get_accounts(index, reader);
	local max_debt = is_start and 0 or max_burst;
	local left = refill(all, now, share, max_burst);
	local own_left = refill(own, now, share / count, max_burst / count);
	if left > -max_debt then
		return { all };
	elseif own_left > -max_debt / count then
		return { all, own };
	end
end

local function charge(accounts, seconds)
	for _, account in ipairs(accounts) do
		account.left = account.left - seconds;
	end
end

-- Bytes that wait to be sent on a connection. Each network backend (net.server) stores them in its own way.
-- Returns 0 for an unknown backend.
local function get_unsent_bytes(conn)
	local buffer = conn.writebuffer;
	if type(buffer) == "string" then
		return #buffer;
	elseif type(buffer) == "table" and buffer.length then
		return buffer:length(); -- util.dbuffer
	elseif conn.writebufferlen then
		return conn.writebufferlen; -- net.server_event
	elseif type(buffer) == "table" then
		-- COMPAT net.server_epoll before 13.0 has a list of strings
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

-- Whether so much is unsent that the peer can't be reading. Prosody itself closes such a connection only after
-- three minutes, or at 32 MB (13.0).
local function has_unread_answers(conn)
	if not conn then return false; end
	local ok, bytes = pcall(get_unsent_bytes, conn);
	return ok and bytes > max_unsent;
end

return { admit = admit; charge = charge; has_unread_answers = has_unread_answers; };
