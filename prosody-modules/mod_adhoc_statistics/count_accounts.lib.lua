-- Counts the registered users of hosts. It iterates over the names of all accounts, in short slices of time. Hosts
-- whose account names cannot be read in slices are counted only if the option adhoc_statistics_counts names this
-- counter.

local usermanager = require "core.usermanager";
local storagemanager = require "core.storagemanager";
local time = require "util.time";
local timer = module:require "timer";
-- COMPAT util.time.monotonic() is new in Prosody 0.12.
local now = time.monotonic or time.now;
local hosts = prosody.hosts;

-- Both values are in seconds. With them, counting accounts uses at most one fiftieth of Prosody's time.
local slice_time, slice_pause = 0.002, 0.1;
-- When the accounts of all hosts are counted, the next count starts after this number of seconds.
local count_pause = 300;
-- The code checks after this number of account names whether the slice is over.
local clock_stride = 32;

-- Whether the account names of a host can be read in slices. The internal storage returns names one by one while it
-- reads a directory. SQL storage selects all names in one query, which blocks Prosody.
local function can_be_sliced(host)
	local provider = hosts[host].users;
	if not provider or not tostring(provider.name):find("^internal_") then
		return false;
	end
	local ok, _, driver = pcall(storagemanager.get_driver, host, "accounts");
	return ok and driver == "internal";
end

local function count_accounts(scope, is_named)
	local family = scope.metric("gauge", "xmpp_registered_users", "", "Number of registered accounts.", { "host" });
	local queue, current, task = {}, nil, nil;

	-- Starts to count the next host in the queue whose accounts can be counted. Returns nil if no such host is left.
	local function start_next_host()
		while queue[1] do
			local host = table.remove(queue);
			if hosts[host] and (is_named or can_be_sliced(host)) then
				local iterator, state, last = usermanager.users(host);
				if type(iterator) == "function" then
					return { host = host; next = iterator; state = state; last = last; count = 0 };
				end
			end
		end
	end

	local function count_slice()
		local deadline = now() + slice_time;
		repeat
			current = current or start_next_host();
			if not current then return; end
			for _ = 1, clock_stride do
				local name = current.next(current.state, current.last);
				if name == nil then
					family:with_labels(current.host):set(current.count);
					current = nil;
					break;
				end
				current.last, current.count = name, current.count + 1;
			end
		until now() > deadline;
	end

	local function run()
		local ok, err = pcall(count_slice);
		if not ok then
			scope.log("warn", "Counting accounts%s failed: %s", current and " of "..current.host or "", err);
			current = nil;
		end
		if current or queue[1] then
			return slice_pause;
		end
		for host, host_session in pairs(hosts) do
			if host_session.type == "local" then queue[#queue + 1] = host; end
		end
		return count_pause;
	end
	local function start()
		-- The queue is empty here, so run() counts no accounts and only puts the hosts into the queue.
		run();
		task = timer.add_task(0, run);
	end
	if prosody.start_time then start(); else scope.hook("server-started", start); end
	scope.on_stop(function ()
		if task then timer.stop(task); end
	end);
end

return { registered_users = count_accounts };
