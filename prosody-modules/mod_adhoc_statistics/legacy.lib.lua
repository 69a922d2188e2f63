-- A metric registry for Prosody 0.10 and 0.11, which have none: there core.statsmanager collects every
-- statistics_interval seconds, and rates and durations begin anew each time. What it tells is added
-- up here, in tables of the shape that index.lib.lua reads of util.openmetrics.
--
-- Names are those that 0.12 gives to what is measured in the old way (core.statsmanager there,
-- legacy_metric_wrappers): "prosody_", the stat's own name, and a unit. README.md has the table.

local logger = require "util.logger".init("adhoc_statistics");

local ipairs, pairs, setmetatable, tostring = ipairs, pairs, setmetatable, tostring;
local t_concat, t_sort = table.concat, table.sort;

-- Raised when the shape of the registry changes: one made by other code is then built anew.
local layout = 1;

-- What 0.12 makes of a kind, and what it calls it in its help. Every other kind is an amount.
local kinds = {
	rate = { type = "counter", word = "counter" };
	duration = { type = "summary", word = "times" };
	size = { type = "summary", word = "sizes" };
	distribution = { type = "summary", word = "distribution" };
};

local off = 'Prosody keeps no statistics: set statistics = "internal" and statistics_interval = 15 '
	.."in the global section of prosody.cfg.lua, above the first VirtualHost, and restart Prosody";
local not_collected = "Prosody has not collected statistics yet: before 0.12 it does every statistics_interval "
	..'seconds, and keeps nothing to read unless statistics = "internal"';

-- mod_measure_stanza_counts has labels in 0.12 for what was part of the name.
local directions = { incoming = "received"; outgoing = "sent" };
local function relabel(name)
	local direction, session_type, stanza_kind = name:match("^stanza_counts%.(%l+)_(%w+)_(%w+)$");
	if directions[direction] then
		return "mod_measure_stanza_counts/"..directions[direction],
			{ "session_type", "stanza_kind" }, { session_type, stanza_kind };
	end
end

-- "/host/mod_name/stat:kind", where * is no host, or "any.name:kind".
--
-- Returns kind, name, names of labels and their values.
local function parse(stat)
	local path, kind = stat:match("^(.*):(%a+)$");
	path = path or stat;
	local host, name = path:match("^/([^/]+)/([^/]+/.+)$");
	if host and host ~= "*" then
		return kind, name, { "host" }, { host };
	end
	name = name or path;
	local new_name, label_keys, label_values = relabel(name);
	return kind, new_name or name, label_keys or {}, label_values or {};
end

local family_mt = {};
family_mt.__index = family_mt;

function family_mt:iter_metrics()
	local i = 0;
	return function ()
		i = i + 1;
		if self.metrics[i] then
			return self.metrics[i].label_values, self.metrics[i];
		end
	end
end

local registry_mt = {};
registry_mt.__index = registry_mt;

local function new_registry()
	return setmetatable({
		layout = layout;
		is_legacy = true;
		-- why there is nothing to read, or nil
		failure = not_collected;
		families = {};
		taken = {}; -- a family's name and label values -> true
		stats = {}; -- by name in statsmanager: what its figures go to
	}, registry_mt);
end

local function same(a, b)
	return t_concat(a, "\0") == t_concat(b, "\0");
end

-- A new metric of that name, or nil if one of other type or labels, or the very same, has it.
function registry_mt:try_metric(name, spec)
	local family = self.families[name];
	local key = name.."\0"..t_concat(spec.label_values, "\0");
	if self.taken[key] or family and (family.type_ ~= spec.type or not same(family.label_keys, spec.label_keys)) then
		return;
	end
	self.taken[key] = true;
	local is_new = not family;
	if is_new then
		family = setmetatable({
			type_ = spec.type;
			unit = spec.unit;
			description = spec.description;
			label_keys = spec.label_keys;
			metrics = {};
		}, family_mt);
		self.families[name] = family;
	end
	local metric = { label_values = spec.label_values };
	if spec.type == "summary" then
		metric._sum, metric._count = 0, 0;
	else
		metric.value = 0;
	end
	family.metrics[#family.metrics + 1] = metric;
	if #spec.label_keys == 0 then family.data = metric; end
	local index = self.adhoc_statistics;
	if index then
		if is_new then index:add_family(name, family); end
		if #spec.label_keys > 0 then index:add_metric(family, metric, spec.label_values); end
	end
	return metric;
end

-- Two stats may have one name, as "a:amount" and "a:rate" do: who comes second has its kind in it.
function registry_mt:metric(stat, name, kind, ending, spec)
	local metric = self:try_metric("prosody_"..name..ending, spec)
		or self:try_metric("prosody_"..name.."_"..tostring(kind)..ending, spec);
	if not metric then
		logger("warn", "No name is left for %s, so it is not shown", stat);
	end
	return metric or {};
end

-- What a stat's figures go to: `value` the one it has now, others what it is made of.
function registry_mt:add_stat(stat, extra, created)
	local kind, name, label_keys, label_values = parse(stat);
	-- Without a count (a provider of one's own) there is nothing to add up.
	local known = extra and extra.count and kinds[kind] or { type = "gauge", word = "amount" };
	local unit = known.type == "summary" and extra.units or "";
	local ending = unit ~= "" and "_"..unit or "";
	local function metric(type_, suffix, description)
		return self:metric(stat, name, kind, ending..suffix, {
			type = type_;
			unit = suffix == "" and unit or "";
			description = name.." "..description;
			label_keys = label_keys;
			label_values = label_values;
		});
	end
	local record = {};
	if known.type == "gauge" then
		record.value = metric("gauge", "", known.word);
	elseif known.type == "counter" then
		record.counter = metric("counter", "", known.word);
		record.counter._created = created;
		record.value = metric("gauge", "_per_second", "in the last interval of statistics");
	else
		record.summary = metric("summary", "", known.word.."; the sum is an estimate from a sample of them, one in five by default");
		record.summary._created = created;
		record.unsampled = 0;
		record.value = metric("gauge", "_average", "on average in the last interval of statistics, of a sample");
		record.min = metric("gauge", "_min", "at least in the last interval of statistics, of a sample");
		record.max = metric("gauge", "_max", "at most in the last interval of statistics, of a sample");
	end
	return record;
end

-- Takes what statsmanager collected. `now` is nil when that was before anybody listened: events of
-- that interval don't count, since those of the intervals before can't.
function registry_mt:update(collected, extras, now)
	local new = {};
	for stat in pairs(collected) do
		if not self.stats[stat] then new[#new + 1] = stat; end
	end
	-- Which of two stats takes a name is not left to chance.
	t_sort(new);
	for _, stat in ipairs(new) do
		self.stats[stat] = self:add_stat(stat, extras[stat], self.listening_since);
	end
	for stat, value in pairs(collected) do
		local record, extra = self.stats[stat], extras[stat] or {};
		local count = now and extra.count or 0;
		record.value.value = value;
		if record.counter then
			record.counter.value = record.counter.value + count;
		elseif record.summary then
			local summary = record.summary;
			summary._count = summary._count + count;
			record.unsampled = record.unsampled + count;
			-- One begun in this interval may be measured in the next.
			if extra.average and (extra.sample_count or 0) > 0 then
				summary._sum = summary._sum + extra.average * record.unsampled;
				record.unsampled = 0;
			end
			record.min.value, record.max.value = extra.min, extra.max;
		end
	end
	self.failure = nil;
	if now then
		self.listening_since = now;
		if self.adhoc_statistics then self.adhoc_statistics.updated = now; end
	end
end

-- The registry of this process, made when the first instance asks, or nil and the options to set.
--
-- It hangs on statsmanager and listens once, whatever instances come and go: a module that is
-- reloaded brings its own code and misses nothing.
local function get_registry(statsman, time_now)
	-- With statistics off measure() takes anything; otherwise it knows its kinds.
	if pcall(statsman.measure, "no such kind", "adhoc_statistics") then
		return nil, off;
	end
	local registry = statsman.adhoc_statistics;
	if not registry then
		prosody.events.add_handler("stats-updated", function (event)
			local current = statsman.adhoc_statistics;
			-- An error would be statsmanager's: it would never collect again.
			local ok, err = pcall(current.update, current, event.stats, event.stats_extra, time_now());
			if not ok then
				current.failure = "Reading what Prosody collected failed, see its log";
				logger("error", "Reading what Prosody collected failed: %s", err);
			end
		end);
	end
	if not registry or registry.layout ~= layout then
		registry = new_registry();
		registry.listening_since = time_now();
		statsman.adhoc_statistics = registry;
		local collected, _, extras = statsman.get_stats();
		if next(collected) ~= nil then registry:update(collected, extras); end
	end
	return setmetatable(registry, registry_mt);
end

return { get_registry = get_registry };
