-- What Prosody itself does not count: logins, stanzas, users online and the like, as metric families
-- in Prosody's own registry. README.md lists them.
--
-- They are of the process, not of the component on which the module happens to be loaded: any number
-- of instances count once. The instances share a table; whenever one comes or goes, all hooks are
-- taken back and set anew, by the code of the one that came or went, for all that the loaded ones
-- ask for. Counters live in the registry and go on where they were.

local log = require "util.logger".init("adhoc_statistics");
local hosts, prosody_events = prosody.hosts, prosody.events;

-- Before any handler that may end an event.
local first = 1e6;

-- Each is a function that is given a scope (below) and whether an operator asked for it by name.
local counters = {};
for _, lib in ipairs { "count_stanzas", "count_sessions", "count_accounts", "count_server" } do
	-- What a version of Prosody may lack must not keep its own statistics from being read.
	local ok, found = pcall(module.require, module, lib);
	if not ok then
		log("error", "%s can't be loaded: %s", lib, found);
		found = {};
	end
	for name, count in pairs(found) do
		counters[name] = count;
	end
end

-- Everything that is counted between a start and a stop, with what is needed to undo it.
local function new_scope(metric)
	local scope = { metric = metric; log = log; first = first };
	local undo, undo_for_host, host_handlers, update_handlers = {}, {}, {}, {};

	-- Calls f when counting ends.
	function scope.on_stop(f)
		undo[#undo + 1] = f;
	end

	function scope.hook(name, handler, priority)
		prosody_events.add_handler(name, handler, priority);
		scope.on_stop(function () prosody_events.remove_handler(name, handler); end);
	end

	-- Sets gauges; called before they are read.
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

	-- Calls handler(host, host_session, hook) for each host that there is or comes.
	function scope.each_host(handler)
		host_handlers[#host_handlers + 1] = handler;
		for host in pairs(hosts) do
			add_host(host, handler);
		end
	end

	-- After the host's modules are loaded. An event that is under way calls handlers that have been
	-- removed since; when a host's own instance of the module was loaded, that one has seen to it.
	scope.hook("host-activated", function (host)
		if scope.is_stopped then return; end
		for _, handler in ipairs(host_handlers) do
			add_host(host, handler);
		end
	end, -first);
	scope.hook("host-deactivated", function (host)
		undo_for_host[host] = nil;
	end);

	-- One that fails must not keep the others' from being collected.
	function scope.update()
		for _, update in ipairs(update_handlers) do
			local ok, err = pcall(update);
			if not ok and err ~= scope.error then
				scope.error = err;
				log("error", "Counting failed: %s", err);
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

-- Held by the modules that use it, so it goes with the last of them.
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
				log("error", "%s can't be counted: %s", name, err);
			end
		end
	end
	if prosody.start_time then
		scope.update();
	end
end

-- metric(type, name, unit, description, label_keys, extra) registers a family or returns it.
local function start(metric)
	local names = module:get_option_set("adhoc_statistics_counts");
	if names then
		for name in names:items() do
			if not counters[name] then
				module:log("warn", "adhoc_statistics_counts: there is no %s", name);
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
