-- Registered users, by going over the names of all accounts, a little at a time.

local usermanager = require "core.usermanager";
local storagemanager = require "core.storagemanager";
local time = require "util.time";
local timer = module:require "timer";
-- COMPAT new in Prosody 0.12
local now = time.monotonic or time.now;
local hosts = prosody.hosts;

-- Seconds for which a slice lasts, the pause after it (so that this never takes more than one part
-- in fifty of Prosody's time) and the least pause after all hosts are counted.
local slice, pause, rest = 0.002, 0.1, 300;
-- Names between two looks at the clock.
local step = 32;

-- Only the internal storage gives names one by one, as it reads a directory. SQL first selects all
-- of them, in one query that nobody can interrupt.
local function is_sliceable(host)
	local provider = hosts[host].users;
	if not provider or not tostring(provider.name):find("^internal_") then
		return false;
	end
	local ok, _, driver = pcall(storagemanager.get_driver, host, "accounts");
	return ok and driver == "internal";
end

local function count_accounts(scope, is_named)
	local family = scope.metric("gauge", "xmpp_registered_users", "", "Accounts", { "host" });
	local queue, current, task = {}, nil, nil;

	-- The next host that has accounts to count; nil at the end.
	local function next_host()
		while queue[1] do
			local host = table.remove(queue);
			if hosts[host] and (is_named or is_sliceable(host)) then
				local iterator, state, last = usermanager.users(host);
				if type(iterator) == "function" then
					return { host = host; next = iterator; state = state; last = last; count = 0 };
				end
			end
		end
	end

	local function take_slice()
		local deadline = now() + slice;
		repeat
			current = current or next_host();
			if not current then return; end
			for _ = 1, step do
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
		local ok, err = pcall(take_slice);
		if not ok then
			scope.log("warn", "Counting accounts%s failed: %s", current and " of "..current.host or "", err);
			current = nil;
		end
		if current or queue[1] then
			return pause;
		end
		for host, host_session in pairs(hosts) do
			if host_session.type == "local" then queue[#queue + 1] = host; end
		end
		return rest;
	end
	-- The first turn finds no host in the queue and fills it.
	local function prepare()
		run();
		task = timer.add_task(0, run);
	end
	if prosody.start_time then prepare(); else scope.hook("server-started", prepare); end
	scope.on_stop(function ()
		if task then timer.stop(task); end
	end);
end

return { registered_users = count_accounts };
