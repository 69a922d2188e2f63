-- A test double of Prosody 0.10 for Lua 5.1, because Debian has no package of Prosody 0.10. The test double has only the
-- parts of Prosody that mod_adhoc_statistics uses. It behaves like Prosody 0.10.0 and 0.10.3, which were built from
-- source and run with mod_adhoc_statistics on 2026-11-27.
--
--   lua5.1 prosody-0.10.lua DIRECTORY_OF_THE_MODULE [off | counts] < scenario.lua
--
-- With `off`, statistics are switched off in Prosody. With `counts`, mod_adhoc_statistics counts its additional metrics.
-- The scenario is a Lua program of a test. It can use `measure`, `collect`, `ask`, `reload`, `clock`, `add_host`,
-- `add_rooms`, `connect` and `tick`.
local directory, mode = arg[1], arg[2];

local clock = { now = 1000 };
local function gettime() return clock.now; end

-- prosody-0.10-hosts.lua sets the global variable `prosody`.
local server = assert(loadfile((arg[0]:gsub("%.lua$", "-hosts.lua"))))(clock);

-- Replaces util.statistics. Amounts and counters keep their value. Statistics of other kinds restart from 0 when their
-- value is read.
local getters = {};
local kinds = {};
function kinds.amount(name, initial)
	local value = initial or 0;
	getters[name..":amount"] = function () return "amount", value; end
	return function (new_value) value = new_value; end
end
function kinds.counter(name, initial)
	local value = initial or 0;
	getters[name..":amount"] = function () return "amount", value; end
	return function (delta) value = value + delta; end
end
function kinds.rate(name)
	local since, count = gettime(), 0;
	getters[name..":rate"] = function ()
		local now = gettime();
		local extra = { rate = count/(now-since), count = count };
		since, count = now, 0;
		return "rate", extra.rate, extra;
	end
	return function () count = count + 1; end
end
local function distribution(kind, units)
	return function (name)
		local since, count, samples = gettime(), 0, {};
		getters[name..":"..kind] = function ()
			table.sort(samples);
			local now, sum = gettime(), 0;
			for _, sample in ipairs(samples) do sum = sum + sample; end
			local extra = {
				samples = samples, sample_count = #samples, count = count, rate = count/(now-since),
				average = #samples > 0 and sum/#samples or 0,
				min = samples[1] or 0, max = samples[#samples] or 0, units = units,
			};
			since, count, samples = now, 0, {};
			return kind, extra.average, extra;
		end
		local function add(value)
			count = count + 1;
			if count%5 == 1 then table.insert(samples, value); end
		end
		if kind ~= "duration" then return add; end
		return function ()
			local start = gettime();
			return function () add(gettime() - start); end
		end
	end
end
kinds.distribution = distribution("distribution");
kinds.sizes = distribution("size", "bytes");
kinds.times = distribution("duration", "seconds");

-- Replaces core.statsmanager.
local stats, changed, extras = {}, {}, {};
local function measure(kind, name)
	return assert(kinds[kind], "unknown stat type: "..kind)(name);
end
local function measure_nothing() return measure_nothing; end
local function collect()
	prosody.events.fire_event("stats-update");
	changed, extras = {}, {};
	for stat, getter in pairs(getters) do
		local _, value, extra = getter();
		if stats[stat] ~= value then changed[stat] = value; end
		stats[stat], extras[stat] = value, extra;
	end
	prosody.events.fire_event("stats-updated", { stats = stats, changed_stats = changed, stats_extra = extras });
end
local statsmanager = {
	measure = mode == "off" and measure_nothing or measure;
	get_stats = function () return stats, changed, extras; end;
	get = function (name) return stats[name], extras[name]; end;
};

-- Replaces util.stanza.
local stanza_mt = {};
stanza_mt.__index = stanza_mt;
local function stanza(name, attr)
	return setmetatable({ name = name, attr = attr or {}, tags = {}, last_add = {} }, stanza_mt);
end
function stanza_mt:tag(name, attr)
	local child = stanza(name, attr);
	local parent = self.last_add[#self.last_add] or self;
	table.insert(parent, child);
	table.insert(parent.tags, child);
	table.insert(self.last_add, child);
	return self;
end
function stanza_mt:add_direct_child(child)
	table.insert(self, child);
	table.insert(self.tags, child);
	return self;
end
function stanza_mt:text(text)
	table.insert(self.last_add[#self.last_add] or self, text);
	return self;
end
function stanza_mt:up()
	table.remove(self.last_add);
	return self;
end
function stanza_mt:add_child(child)
	(self.last_add[#self.last_add] or self):add_direct_child(child);
	return self;
end
function stanza_mt:childtags(name)
	local i = 0;
	return function ()
		repeat i = i + 1; until not self.tags[i] or self.tags[i].name == name;
		return self.tags[i];
	end
end
function stanza_mt:__tostring()
	local text = "<"..self.name;
	for name, value in pairs(self.attr) do text = text.." "..name.."='"..value.."'"; end
	if #self == 0 then return text.."/>"; end
	text = text..">";
	for _, child in ipairs(self) do text = text..tostring(child); end
	return text.."</"..self.name..">";
end
function stanza_mt:get_child(name)
	return self:childtags(name)();
end

-- Replaces util.set.
local set_mt = {};
set_mt.__index = set_mt;
local function new_set(list)
	local set = setmetatable({ _items = {} }, set_mt);
	for _, item in ipairs(list or {}) do set._items[item] = true; end
	return set;
end
function set_mt.__div(set, map)
	local new = new_set();
	for item in pairs(set._items) do new._items[map(item)] = true; end
	return new;
end
function set_mt:contains(item) return self._items[item] ~= nil; end
function set_mt:items() return pairs(self._items); end

-- As in Prosody 0.10, util.openmetrics does not exist, and util.time has no monotonic clock.
local libraries = {
	["core.statsmanager"] = statsmanager;
	["util.dataforms"] = { new = function (layout) return layout; end };
	["util.encodings"] = { utf8 = { valid = function (text) return not text:find("[\128-\255]"); end } };
	["util.jid"] = {
		bare = function (jid) return (jid:gsub("/.*", "")); end;
		host = function (jid) return (jid:gsub("/.*", ""):gsub(".*@", "")); end;
		prep = function (jid) return jid:lower(); end;
	};
	["util.logger"] = {
		init = function (name) return function (level, ...) print(name, level, string.format(...)); end end;
	};
	["util.stanza"] = {
		stanza = stanza;
		xml_escape = function (text) return (text:gsub("[&<>]", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;" })); end;
		reply = function (to) return stanza("iq", { type = "result", id = to.attr.id }); end;
	};
	["util.time"] = { now = gettime };
	["util.uuid"] = { generate = function () clock.ids = (clock.ids or 0) + 1; return "epoch-"..clock.ids; end };
};
for _, list in ipairs { libraries, server.libraries } do
	for name, library in pairs(list) do
		package.preload[name] = function () return library; end
	end
end
package.path, package.cpath = "", "";

-- Replaces core.moduleapi and core.modulemanager for a Prosody with one component.
local command_event = "host/http://jabber.org/protocol/commands:command";
local events, unload = server.new_events(), nil;
local shared = {};
local function default(_, _, value) return value; end
local function load_module()
	local hooked = {};
	local module = {
		host = "stats.one.example";
		get_option_string = default; get_option_number = default;
		get_option_set = function (_, name, list)
			if name == "adhoc_statistics_counts" and mode == "counts" then return nil; end
			return new_set(list);
		end;
		shared = function (_, path)
			shared[path] = shared[path] or {};
			return shared[path];
		end;
		log = function (_, level, ...) print("module", level, string.format(...)); end;
		hook = function (_, event, handler, priority)
			hooked[event] = handler;
			events.add_handler(event, handler, priority);
		end;
		hook_global = function (_, event, handler) prosody.events.add_handler(event, handler); end;
		depends = function () end;
	};
	-- mod_adhoc handles events that begin with iq/ in Prosody 0.10, and with iq-set/ in later versions.
	function module:provides(_, command)
		self:hook("iq/"..command_event, function (event)
			if event.stanza.attr.type == "set" then command.handler(); end
		end, 500);
	end
	local env = setmetatable({ module = module, prosody = prosody }, { __index = _G });
	local function run(file)
		return setfenv(assert(loadfile(directory.."/"..file)), env)();
	end
	function module:require(name)
		if name == "adhoc" then
			return { new = function (name, node, handler, permission)
				return { name = name, node = node, handler = handler, permission = permission };
			end };
		end
		return run(name..".lib.lua");
	end
	if unload then unload(); end
	run("mod_adhoc_statistics.lua");
	unload = function ()
		if module.unload then module.unload(); end
		for event, handler in pairs(hooked) do events.remove_handler(event, handler); end
	end
end

-- Sends a request for statistics from the component. Returns the lines and the attributes of the page of statistics, or
-- the text of the error.
local function ask(request)
	local iq = stanza("iq", { type = "set", id = "1", from = "stats.one.example", to = "stats.one.example" });
	iq:tag("command", { node = "urn:prosody-exporter:statistics:1" }):tag("statistics", request);
	local answer;
	local origin = { type = "component", host = "stats.one.example", conn = {}, send = function (reply) answer = reply; end };
	local data = { origin = origin, stanza = iq };
	-- In Prosody, mod_iq fires these two events.
	assert(events.fire_event("iq/"..command_event, data) or events.fire_event("iq-set/"..command_event, data));
	-- Runs the timers, as the next turn of Prosody's main loop does.
	server.tick(0);
	if type(answer) == "table" then return answer:get_child("error"):get_child("text")[1]; end
	local attr, lines = {}, {};
	for name, value in answer:match("<statistics ([^>]*)>"):gmatch("(%w+)='([^']*)'") do attr[name] = value; end
	for text in answer:gmatch("<lines>(.-)</lines>") do table.insert(lines, text); end
	return table.concat(lines), attr;
end

-- As util.startup does in Prosody, logs a warning when code reads an undefined global variable.
setmetatable(_G, { __index = function (_, name)
	print("general", "warn", "Attempt to read a non-existent global '"..tostring(name).."'");
end });

load_module();
local scenario = setmetatable({
	measure = statsmanager.measure, collect = collect, ask = ask, reload = load_module, clock = clock,
	add_host = server.add_host, add_rooms = server.add_rooms, connect = server.connect, tick = server.tick,
}, { __index = _G });
setfenv(assert(loadstring(io.read("*a"), "=scenario")), scenario)();
