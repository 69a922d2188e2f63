-- A Prosody module for tests: `prosody.test_registry` has functions that change Prosody's metric registry, and functions
-- that return its contents.
module:set_global();
local array = require "util.array";
local json = require "util.json";
local statsman = require "core.statsmanager";
local registry = statsman.get_metric_registry();

local exports = {};
prosody.test_registry = exports;

-- `declared` maps each name to its current metric family. `replaced` is a list of the families that were replaced in the
-- registry, which a Prosody module may still use.
local declared, replaced = {}, {};

function exports.declare(type_, name, help, labels, buckets)
	local family = statsman.metric(type_, name, "", help, labels, { buckets = buckets });
	local before = declared[name];
	if before and before ~= family then
		replaced[#replaced + 1] = before;
	end
	declared[name] = family;
end

function exports.move(name, labels, method, value)
	local metric = declared[name]:with_labels(table.unpack(labels));
	metric[method](metric, value);
end

-- Changes so many series that mod_adhoc_statistics needs several pages for them.
function exports.move_many(first, step, value)
	local family = statsman.metric("gauge", "prosody_test_step_many", "", "Many series", { "shard" });
	for i = first, 2500, step do
		family:with_labels("shard-"..i):add(value);
	end
end

-- Changes series of metric families that are no longer in the registry. The label values are `value`, so a call with a
-- new `value` creates new series.
function exports.move_replaced(value)
	for _, family in ipairs(replaced) do
		local labels = {};
		for i = 1, #family.label_keys do labels[i] = value; end
		local metric = family:with_labels(table.unpack(labels));
		metric[metric.sample and "sample" or "set"](metric, 77777);
	end
end

local function hex(text)
	return (tostring(text):gsub(".", function (c) return ("%02x"):format(c:byte()); end));
end

local function to_exact_text(value)
	local number = tonumber(value);
	if not number then return "none"; end
	return (math.type(number) == "integer" and "%d" or "%.17g"):format(number);
end

-- Returns the contents of the registry as JSON. Names, labels and help texts are written as hexadecimal digits, and
-- numbers as text.
function exports.dump()
	local families = {};
	for name, family in pairs(registry.families) do
		local keys, metrics = {}, {};
		for i, key in ipairs(family.label_keys) do keys[i] = hex(key); end
		for values, metric in family:iter_metrics() do
			local labels, buckets = {}, {};
			for i = 1, #keys do labels[i] = hex(values[i]); end
			for i, bucket in ipairs(metric) do
				buckets[i] = { hex(bucket.threshold_s), to_exact_text(bucket.count) };
			end
			metrics[#metrics + 1] = {
				labels = array(labels); buckets = array(buckets);
				created = to_exact_text(metric._created); value = to_exact_text(metric.value);
				sum = to_exact_text(metric._sum); count = to_exact_text(metric._count);
			};
		end
		families[#families + 1] = {
			name = hex(name); type = family.type_; unit = hex(family.unit); help = hex(family.description);
			labels = array(keys); metrics = array(metrics);
		};
	end
	return json.encode(array(families));
end

-- Returns the text that mod_http_openmetrics serves for the named metric families. If rendering fails, returns
-- "error: " and the error message.
function exports.render(...)
	local families = {};
	for _, name in ipairs { ... } do families[name] = registry.families[name]; end
	local ok, result = pcall(getmetatable(registry).render, { get_metric_families = function () return families; end });
	return (ok and "" or "error: ")..tostring(result);
end
