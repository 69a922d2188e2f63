-- The hosts, clients, rooms and timers of the test double of Prosody 0.10 (prosody-0.10.lua). This file has only the
-- parts of Prosody that the additional metrics of mod_adhoc_statistics use.
local clock = ...;

-- Replaces util.events. An event calls its handlers by descending priority, until a handler returns a value.
local function new_events()
	local handlers = {};
	local events = { _handlers = handlers };
	function events.add_handler(event, handler, priority)
		local list = handlers[event] or {};
		handlers[event] = list;
		local at = 1;
		while list[at] and list[at].priority >= (priority or 0) do at = at + 1; end
		table.insert(list, at, { handler = handler, priority = priority or 0 });
	end
	function events.remove_handler(event, handler)
		for i, entry in ipairs(handlers[event] or {}) do
			if entry.handler == handler then return table.remove(handlers[event], i); end
		end
	end
	local function call_handlers(event, data)
		for _, entry in ipairs(handlers[event] or {}) do
			local result = entry.handler(data);
			if result ~= nil then return result; end
		end
	end
	local wrappers = {};
	events.wrappers = {};
	function events.wrappers.add_handler(event, wrapper)
		wrappers[event] = wrappers[event] or {};
		table.insert(wrappers[event], wrapper);
	end
	-- As in Prosody 0.10.0, this function removes nothing if the event has several wrappers.
	function events.wrappers.remove_handler(event, wrapper)
		local list = wrappers[event];
		if #list == 1 and list[1] == wrapper then wrappers[event] = nil; end
	end
	function events.fire_event(event, data)
		local call = call_handlers;
		for _, wrapper in ipairs(wrappers[event] or {}) do
			local inner = call;
			call = function (...) return wrapper(inner, ...); end;
		end
		return call(event, data);
	end
	return events;
end

prosody = {
	events = new_events(); hosts = {}; paths = {};
	full_sessions = {}; incoming_s2s = {}; start_time = clock.now;
};

-- Replaces util.filters.
local filters, filter_hooks = {}, {};
function filters.add_filter(session, type, callback)
	session.filters = session.filters or {};
	session.filters[type] = session.filters[type] or {};
	table.insert(session.filters[type], callback);
end
local function remove(list, item)
	for i, each in ipairs(list or {}) do
		if each == item then return table.remove(list, i); end
	end
end
function filters.remove_filter(session, type, callback) remove(session.filters[type], callback); end
function filters.add_filter_hook(callback) table.insert(filter_hooks, callback); end
function filters.remove_filter_hook(callback) remove(filter_hooks, callback); end

-- Replaces util.timer. Tasks run when tick() is called, if they are due. As in Prosody 0.10, add_task() returns nothing
-- and stop() does not exist.
local tasks = {};
local timer = {};
function timer.add_task(delay, callback)
	tasks[{ at = clock.now + delay, callback = callback }] = true;
end
local function tick(seconds)
	clock.now = clock.now + seconds;
	for task in pairs(tasks) do
		if task.at <= clock.now then
			local delay = task.callback(clock.now);
			if delay then task.at = clock.now + delay; else tasks[task] = nil; end
		end
	end
end

local function add_host(name, accounts)
	accounts = accounts or {};
	local users = { name = "internal_plain" };
	function users.get_sasl_handler() return { mechs = { PLAIN = true, ["SCRAM-SHA-1"] = true } }; end
	function users.users() return pairs(accounts); end
	prosody.hosts[name] = {
		host = name, type = "local", events = new_events(), modules = {}, sessions = {}, s2sout = {}, users = users,
	};
	prosody.events.fire_event("host-activated", name);
end

-- Replaces mod_muc. The table of rooms is a global variable of the module, whose environment inherits _G.
local function add_rooms(name, rooms)
	add_host(name);
	local host = prosody.hosts[name];
	host.type = "component";
	host.modules.muc = setmetatable({ rooms = rooms }, { __index = _G });
end

-- Creates the session of a client that has selected a SASL mechanism. Its methods fire the events that mod_saslauth,
-- core.sessionmanager and mod_c2s fire in Prosody.
local client_mt = {};
client_mt.__index = client_mt;
local function connect(host, mechanism)
	local session = setmetatable({
		type = "c2s_unauthed", host = host, sasl_handler = { selected = mechanism }, conn = {},
	}, client_mt);
	for _, hook in ipairs(filter_hooks) do hook(session); end
	return session;
end
function client_mt:login(username)
	local events = prosody.hosts[self.host].events;
	if not username then
		events.fire_event("authentication-failure", { session = self });
		return self;
	end
	self.type, self.username = "c2s_unbound", username;
	events.fire_event("authentication-success", { session = self });
	self.sasl_handler = nil;
	return self;
end
function client_mt:bind(resource)
	local host = prosody.hosts[self.host];
	self.type, self.resource, self.full_jid = "c2s", resource, self.username.."@"..self.host.."/"..resource;
	host.sessions[self.username] = host.sessions[self.username] or { sessions = {} };
	host.sessions[self.username].sessions[resource] = self;
	prosody.full_sessions[self.full_jid] = self;
	host.events.fire_event("resource-bind", { session = self });
	return self;
end
function client_mt:dispatch(name, attr)
	local stanza = { name = name, attr = attr or {} };
	for _, filter in ipairs(self.filters["stanzas/in"]) do stanza = filter(stanza, self); end
end
function client_mt:close()
	local host = prosody.hosts[self.host];
	host.sessions[self.username].sessions[self.resource] = nil;
	prosody.full_sessions[self.full_jid] = nil;
	if not next(host.sessions[self.username].sessions) then host.sessions[self.username] = nil; end
	host.events.add_handler("resource-unbind", function ()
		self:dispatch("presence", { type = "unavailable" });
	end, -1e9);
	host.events.fire_event("resource-unbind", { session = self });
end
-- Ends the connection of a client without a resource. As in Prosody, the table of the session stays and becomes empty.
function client_mt:disconnect()
	for key in pairs(self) do self[key] = nil; end
	setmetatable(self, { __index = { type = "c2s_destroyed", destroyed = true } });
end

local libraries = {
	["core.certmanager"] = { find_cert = function () end };
	["core.configmanager"] = { get = function () end, rawget = function () end, getconfig = function () end };
	["core.portmanager"] = {
		get_active_services = function () return { iter = function () return function () end end }; end;
	};
	["lfs"] = { attributes = function () end, dir = function () error("lfs.dir() is not available") end };
	["core.modulemanager"] = { get_module = function () end };
	["core.storagemanager"] = { get_driver = function () return {}, "internal"; end };
	["core.usermanager"] = {
		get_sasl_handler = function (host) return prosody.hosts[host].users.get_sasl_handler(); end;
		users = function (host) return prosody.hosts[host].users.users(); end;
	};
	["util.datetime"] = {};
	["util.filters"] = filters;
	["util.hashes"] = { sha256 = function (text) return text end };
	["util.paths"] = {};
	["util.timer"] = timer;
};

return {
	libraries = libraries, new_events = new_events, add_host = add_host, add_rooms = add_rooms, connect = connect,
	tick = tick,
};
