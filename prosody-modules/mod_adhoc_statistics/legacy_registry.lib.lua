-- A metric registry for Prosody 0.10 and 0.11, which have none. It provides those functions and fields of
-- util.openmetrics (Prosody 0.12) that index.lib.lua and the counters of additional metrics use. It adds new metric
-- families and metrics to the index immediately.

local ipairs, select, setmetatable, tostring = ipairs, select, setmetatable, tostring;
local s_format, t_concat = string.format, table.concat;

-- Increase this number when you change the fields of the registry. After a reload, a registry that older code created
-- with another number is replaced.
local layout = 1;

local metric_mt = {};
metric_mt.__index = metric_mt;

function metric_mt:set(value)
	self.value = value;
end

function metric_mt:add(delta)
	self.value = self.value + delta;
end

function metric_mt:sample(value)
	self._sum, self._count = self._sum + value, self._count + 1;
	-- The count of a bucket includes the samples of all lower buckets.
	for _, bucket in ipairs(self) do
		if value <= bucket.threshold then bucket.count = bucket.count + 1; end
	end
end

local function new_metric(family, created)
	local metric = setmetatable({}, metric_mt);
	if family.type_ ~= "gauge" then metric._created = created; end
	if family.type_ == "counter" or family.type_ == "gauge" then
		metric.value = 0;
	else
		metric._sum, metric._count = 0, 0;
	end
	for i, threshold in ipairs(family.buckets) do
		metric[i] = { threshold = threshold; threshold_s = s_format("%.14g", threshold); count = 0 };
	end
	if family.type_ == "histogram" then
		metric[#metric + 1] = { threshold = 1/0; threshold_s = "+Inf"; count = 0 };
	end
	return metric;
end

local family_mt = {};
family_mt.__index = family_mt;

function family_mt:with_labels(...)
	if select("#", ...) ~= #self.label_keys then
		error("number of labels passed to with_labels does not match number of label keys", 2);
	end
	if self.data then return self.data; end
	local values = { ... };
	for i, value in ipairs(values) do values[i] = tostring(value); end
	local key = t_concat(values, "\0");
	local entry = self.by_labels[key];
	if not entry then
		local registry = self.registry;
		entry = { values = values; metric = new_metric(self, registry.time_now()) };
		self.by_labels[key] = entry;
		self.entries[#self.entries + 1] = entry;
		local index = registry.adhoc_statistics;
		if index then index:add_metric(self, entry.metric, values); end
	end
	return entry.metric;
end

function family_mt:iter_metrics()
	local i = 0;
	return function ()
		i = i + 1;
		local entry = self.entries[i];
		if entry then return entry.values, entry.metric; end
	end
end

local registry_mt = {};
registry_mt.__index = registry_mt;

-- Returns the metric family with the given name, type and label keys. If it does not exist, returns nil, and whether a
-- family of that name has another type or other label keys.
function registry_mt:find(type_, name, label_keys)
	local family = self.families[name];
	if not family then return nil, false; end
	if family.type_ == type_ and t_concat(family.label_keys, "\0") == t_concat(label_keys, "\0") then
		return family;
	end
	return nil, true;
end

-- Does the same as metric() of core.statsmanager in Prosody 0.12: returns an existing family, or registers a new one. A
-- new family replaces a family of the same name that has another type or other label keys.
function registry_mt:metric(type_, name, unit, description, label_keys, extra)
	unit, label_keys = unit or "", label_keys or {};
	local full_name = unit ~= "" and name.."_"..unit or name;
	local family, is_other = self:find(type_, full_name, label_keys);
	if family then return family; end
	family = setmetatable({
		registry = self;
		type_ = type_;
		unit = unit;
		description = description;
		label_keys = label_keys;
		buckets = type_ == "histogram" and extra and extra.buckets or {};
		entries = {}; -- a list of { values = label values; metric = metric }
		by_labels = {};
	}, family_mt);
	if #label_keys == 0 then family.data = new_metric(family, self.time_now()); end
	local index = self.adhoc_statistics;
	if index and is_other then index:drop_family(self.families[full_name]); end
	self.families[full_name] = family;
	if index then index:add_family(full_name, family); end
	return family;
end

local function new_registry(time_now)
	return setmetatable({ layout = layout; is_legacy = true; time_now = time_now; families = {} }, registry_mt);
end

return { new_registry = new_registry; layout = layout; registry_mt = registry_mt };
