-- Test only: `prosody.test_registry` moves the statistics registry about and tells what it holds.
module:set_global();
local array = require "util.array";
local json = require "util.json";
local statsman = require "core.statsmanager";
local registry = statsman.get_metric_registry();

local exports = {};
prosody.test_registry = exports;

-- The latest family by each name, and those that it replaced, which modules may go on using.
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

-- Series enough for several pages of the companion module.
function exports.move_many(first, step, value)
	local family = statsman.metric("gauge", "prosody_test_step_many", "", "Many series", { "shard" });
	for i = first, 2500, step do
		family:with_labels("shard-"..i):add(value);
	end
end

-- New and old series of families that are in the registry no more.
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

local function exactly(value)
	local number = tonumber(value);
	if not number then return "none"; end
	return (math.type(number) == "integer" and "%d" or "%.17g"):format(number);
end

-- JSON; names, labels and help as hexadecimal digits, numbers as text.
function exports.dump()
	local families = {};
	for name, family in pairs(registry.families) do
		local keys, metrics = {}, {};
		for i, key in ipairs(family.label_keys) do keys[i] = hex(key); end
		for values, metric in family:iter_metrics() do
			local labels, buckets = {}, {};
			for i = 1, #keys do labels[i] = hex(values[i]); end
			for i, bucket in ipairs(metric) do
				buckets[i] = { hex(bucket.threshold_s), exactly(bucket.count) };
			end
			metrics[#metrics + 1] = {
				labels = array(labels); buckets = array(buckets);
				created = exactly(metric._created); value = exactly(metric.value);
				sum = exactly(metric._sum); count = exactly(metric._count);
			};
		end
		families[#families + 1] = {
			name = hex(name); type = family.type_; unit = hex(family.unit); help = hex(family.description);
			labels = array(keys); metrics = array(metrics);
		};
	end
	return json.encode(array(families));
end

-- What mod_http_openmetrics would print for some families, or its error.
function exports.render(...)
	local some = {};
	for _, name in ipairs { ... } do some[name] = registry.families[name]; end
	local ok, result = pcall(getmetatable(registry).render, { get_metric_families = function () return some; end });
	return (ok and "" or "error: ")..tostring(result);
end
