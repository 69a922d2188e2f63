-- Additional metrics, which Prosody itself does not have: logins, stanzas, online users and others. They are metric
-- families in Prosody's own registry. README.md lists them.
--
-- They describe the process, not the component that loads the module, so all instances together count each event
-- once. The instances share a table. Whenever an instance is loaded or unloaded, its code removes all hooks, and adds
-- those that the loaded instances want. Counters are stored in the registry and keep their values.

local log = require "util.logger".init("adhoc_statistics");
local hosts, prosody_events = prosody.hosts, prosody.events;

-- Handlers with this priority run before any handler that may end an event.
local highest_priority = 1e6;

-- Name in adhoc_statistics_counts -> function (scope, is_named), which starts to count. See new_scope();
-- is_named is true if the option contains the name.
local counters = {};
for _, lib in ipairs { "count_stanzas", "count_sessions", "count_accounts", "count_server" } do
	-- If a library can't be loaded on some version of Prosody, its own statistics must stay readable.
	local ok, found = pcall(module.require, module, lib);
	if not ok then
		log("error", "Could not load %s: %s", lib, found);
		found = {};
	end
	for name, count in pairs(found) do
		counters[name] = count;
	end
end

-- Creates a scope: the hooks and handlers of the counters between a start and a stop, and what removes them again.
local function new_scope(metric)
	local scope = { metric = metric; log = log; highest_priority = highest_priority };
	local undo, undo_for_host, host_handlers, update_handlers = {}, {}, {}, {};

	-- Calls f at scope.stop().
	function scope.on_stop(f)
		undo[#undo + 1] = f;
	end

	function scope.hook(name, handler, priority)
		prosody_events.add_handler(name, handler, priority);
		scope.on_stop(function () prosody_events.remove_handler(name, handler); end);
	end

	-- Calls update() at each collection, to set gauges.
	function scope.on_update(update)
		update_handlers[#update_handlers + 1] = update;
	end

	local function add_host(host, handler)
		local host_session = hosts[host];
		handler(host, host_session, function (name, f, priority)
			host_session.events.add_handler(name, f, priority);
			undo_for_host[host] = undo_for_host[host] or {};
			table.insert(undo_for_host[host], function () host_session.events.remove_handler(name, f); end);
		end);
	end

	-- Calls handler(host, host_session, hook) for each host, now and when another is added.
	-- hook(event, handler, priority) hooks an event of that host.
	function scope.each_host(handler)
		host_handlers[#host_handlers + 1] = handler;
		for host in pairs(hosts) do
			add_host(host, handler);
		end
	end

	-- Runs after the modules of the host are loaded. Among them may be an instance of this module, which stops this
	-- scope and starts a new one. Prosody still calls the handlers of the stopped scope for this event.
	scope.hook("host-activated", function (host)
		if scope.is_stopped then return; end
		for _, handler in ipairs(host_handlers) do
			add_host(host, handler);
		end
	end, -highest_priority);
	scope.hook("host-deactivated", function (host)
		undo_for_host[host] = nil;
	end);

	-- After an error, the other handlers must still run.
	function scope.update()
		for _, update in ipairs(update_handlers) do
			local ok, err = pcall(update);
			if not ok and err ~= scope.error then
				scope.error = err;
				log("error", "Updating additional metrics failed: %s", err);
			end
		end
	end
	scope.hook("stats-update", scope.update);

	function scope.stop()
		scope.is_stopped = true;
		for _, list in pairs(undo_for_host) do
			for _, f in ipairs(list) do f(); end
		end
		for _, f in ipairs(undo) do f(); end
	end
	return scope;
end

-- Shared by all instances of the module in this process. The table is freed with the last instance.
local process = module:shared("/*/adhoc_statistics/counts");
process.instances = process.instances or {};

local function restart(metric)
	if process.stop then
		process.stop();
		process.stop = nil;
	end
	if not next(process.instances) then return; end
	local scope = new_scope(metric);
	process.stop = scope.stop;
	for name, count in pairs(counters) do
		local is_wanted, is_named = false, false;
		for _, names in pairs(process.instances) do
			is_wanted = is_wanted or not names or names:contains(name);
			is_named = is_named or names and names:contains(name);
		end
		if is_wanted then
			local ok, err = pcall(count, scope, is_named);
			if not ok then
				log("error", "Could not start counting %s: %s", name, err);
			end
		end
	end
	if prosody.start_time then
		scope.update();
	end
end

-- metric(type, name, unit, description, label_keys, extra) returns a family, and registers it if necessary.
local function start(metric)
	local names = module:get_option_set("adhoc_statistics_counts");
	if names then
		for name in names:items() do
			if not counters[name] then
				module:log("warn", "Ignoring unknown name %q in adhoc_statistics_counts", name);
			end
		end
	end
	process.instances[module] = names or false;
	process.metric = metric;
	restart(metric);
end

local function stop()
	if process.instances[module] ~= nil then
		process.instances[module] = nil;
		restart(process.metric);
	end
end

return { start = start; stop = stop };
