-- Starts and stops the counters of the additional metrics: logins, stanzas, online users and others, which Prosody
-- itself does not count. The counters put them into Prosody's metric registry, or before Prosody 0.12 into that of
-- legacy_registry.lib.lua. README.md lists these metrics.
--
-- The metrics describe the whole Prosody process, so all instances of mod_adhoc_statistics together count each event
-- once. Whenever an instance is loaded or unloaded, it removes the event handlers of all counters, and starts the
-- counters that the loaded instances want. The metrics keep their values, because the registry stores them.

local log = require "util.logger".init("adhoc_statistics");
local hosts, prosody_events = prosody.hosts, prosody.events;

-- An event handler with this priority runs before any handler that may stop the processing of the event.
local highest_priority = 1e6;

-- Maps each name in the option adhoc_statistics_counts to a function (scope, is_named), which starts to count. `scope`
-- is a result of new_scope(). `is_named` is true if the option of any instance contains the name, and otherwise false
-- or nil.
local counters = {};
for _, lib in ipairs {
	"count_stanzas", "count_sessions", "count_accounts", "count_server",
	"count_process", "count_unauthenticated", "count_certificates",
	"count_account_events", "count_offline_messages", "count_rejections",
} do
	-- If some version of Prosody can't load one of these libraries, only its counters are missing.
	local ok, found = pcall(module.require, module, lib);
	if not ok then
		log("error", "Could not load %s.lib.lua, so some additional metrics are missing: %s", lib, found);
		found = {};
	end
	for name, count in pairs(found) do
		counters[name] = count;
	end
end

-- Creates a scope. Counters register their event handlers and timers through it, and scope.stop() removes all of them.
local function new_scope(metric)
	local scope = { metric = metric; log = log; highest_priority = highest_priority };
	local undo, undo_for_host, host_handlers, update_handlers = {}, {}, {}, {};

	function scope.on_stop(f)
		undo[#undo + 1] = f;
	end

	function scope.hook(name, handler, priority)
		prosody_events.add_handler(name, handler, priority);
		scope.on_stop(function () prosody_events.remove_handler(name, handler); end);
	end

	-- Registers a function that sets gauges each time Prosody collects its statistics.
	function scope.on_update(update)
		update_handlers[#update_handlers + 1] = update;
	end

	local function add_host(host, handler)
		local host_session = hosts[host];
		local function new_hook(events)
			return function (name, f, priority)
				events.add_handler(name, f, priority);
				undo_for_host[host] = undo_for_host[host] or {};
				table.insert(undo_for_host[host], function () events.remove_handler(name, f); end);
			end
		end
		handler(host, host_session, new_hook(host_session.events), new_hook(host_session.events.wrappers));
	end

	-- Calls handler(host, host_session, hook, wrap) now for each host of Prosody, and later for each host that is added.
	-- hook(event, handler, priority) adds a handler for an event of that host. wrap(event, wrapper) adds a function
	-- (fire, event, data) that Prosody calls instead of the event's handlers; fire(event, data) calls them.
	-- COMPAT Prosody 0.10.0 can't remove a wrapper if the event has several. Without its hooks, a wrapper must do nothing.
	function scope.each_host(handler)
		host_handlers[#host_handlers + 1] = handler;
		for host in pairs(hosts) do
			add_host(host, handler);
		end
	end

	-- This handler runs after the modules of the new host are loaded. If mod_adhoc_statistics is one of them, it has just
	-- stopped this scope and started a new one. Prosody still calls this handler once, so the handler checks is_stopped.
	scope.hook("host-activated", function (host)
		if scope.is_stopped then return; end
		for _, handler in ipairs(host_handlers) do
			add_host(host, handler);
		end
	end, -highest_priority);
	scope.hook("host-deactivated", function (host)
		undo_for_host[host] = nil;
	end);

	-- Sets all gauges. If one function fails, the others still run.
	function scope.update()
		for _, update in ipairs(update_handlers) do
			local ok, err = pcall(update);
			if not ok and err ~= scope.error then
				scope.error = err;
				log("error", "Updating the additional metrics failed, so some gauges are outdated: %s", err);
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

-- All instances of mod_adhoc_statistics in a Prosody process share this table. Prosody frees it with the last instance.
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
				log("error", "Could not start to count %s, so the metrics of this name are missing: %s", name, err);
			end
		end
	end
	if prosody.start_time then
		scope.update();
	end
end

-- Starts the counters that this instance of the module wants. `metric` is a function (type, name, unit, description,
-- label_keys, extra) that returns a metric family, and registers the family if necessary.
local function start(metric)
	local names = module:get_option_set("adhoc_statistics_counts");
	if names then
		for name in names:items() do
			if not counters[name] then
				module:log("warn", "Ignoring the unknown name %q in the option adhoc_statistics_counts; the module's README.md lists the names", name);
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
