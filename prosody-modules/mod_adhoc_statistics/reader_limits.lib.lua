-- Limits how much of Prosody's time and memory the readers of statistics may use.

local m_max, m_min = math.max, math.min;
local ipairs, pcall, type = ipairs, pcall, type;

-- The shared account holds at most this number of seconds of Prosody's time, which readers may use at once. The first
-- read of 100,000 series takes 0.3 s on a small server, and several readers may do that at the same time.
local max_burst = 5;
-- A request is refused while the reader's connection has more than this number of bytes of unsent answers. A reader
-- that waits for each page before it requests the next one has about 48 KB of unsent answers at most.
local max_unsent = 512 * 1024;

-- Adds to a time account what it earned since the last call: `rate` seconds per second, up to a balance of `max`
-- seconds. Returns the balance.
local function refill(account, now, rate, max)
	-- m_max() is necessary because the system clock can be set back.
	account.left = m_min(max, (account.left or max) + m_max(0, now - (account.at or now)) * rate);
	account.at = now;
	return account.left;
end

-- Returns the shared time account of all readers, the account of this reader, and the number of readers.
local function get_accounts(index, reader)
	local accounts = index.accounts;
	if not accounts then
		accounts = { all = {}; readers = {}; count = 0 };
		index.accounts = accounts;
	end
	-- The table of accounts stays small, because only readers that the configuration of Prosody names get an account.
	if not accounts.readers[reader] then
		accounts.readers[reader] = {};
		accounts.count = accounts.count + 1;
	end
	return accounts.all, accounts.readers[reader], accounts.count;
end

-- Decides whether a reader's request is answered now. If it is, returns the time accounts to charge; otherwise nil. All
-- readers together get `share` seconds of Prosody's time per second. Each reader also has an account of its own with an
-- equal part of `share`. It is used when the shared account is empty, so that a reader that sends requests all the time
-- can't lock out the others.
--
-- A request that starts to read all metrics (`is_start`) needs a positive balance. A request that continues such a read
-- may put the account into debt, up to max_burst seconds. So when many readers compete, some of them always finish.
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

-- Returns the number of bytes that wait to be sent on a connection. Each network backend (net.server) stores them in
-- its own way. For an unknown backend, the result is 0.
local function get_unsent_bytes(conn)
	local buffer = conn.writebuffer;
	if type(buffer) == "string" then
		return #buffer;
	elseif type(buffer) == "table" and buffer.length then
		return buffer:length(); -- the buffer is a util.dbuffer
	elseif conn.writebufferlen then
		return conn.writebufferlen; -- the backend is net.server_event
	elseif type(buffer) == "table" then
		-- COMPAT net.server_epoll before Prosody 13.0 stores unsent data as a list of strings.
		local bytes = 0;
		for _, part in ipairs(buffer) do
			bytes = bytes + #part;
			if bytes > max_unsent then break; end
		end
		return bytes;
	end
	-- COMPAT bufferlen() is a method of net.server_select, the default backend before Prosody 0.12.
	return conn.bufferlen and conn:bufferlen() or 0;
end

-- Whether a connection has so many unsent bytes that the reader must have stopped reading. Prosody 13.0 itself closes
-- such a connection only after three minutes, or when 32 MB are unsent.
local function has_unread_answers(conn)
	if not conn then return false; end
	local ok, bytes = pcall(get_unsent_bytes, conn);
	return ok and bytes > max_unsent;
end

return { admit = admit; charge = charge; has_unread_answers = has_unread_answers; };
