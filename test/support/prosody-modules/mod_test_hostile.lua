-- A Prosody module for tests: registers metrics that no module should have, but that Prosody's metric registry accepts.
module:set_global();
local metric = require "core.statsmanager".metric;

local gauge = metric("gauge", "test_hostile_label", "", "Label values that need care", { "value" });
local label_values = {
	'quote"', "back\\slash", "trailing\\", "new\nline", "tab\there", "nul\0byte", "esc\27[31m", "carriage\rreturn",
	"\\n", "\\x41", "\\t",
	"\239\191\191", -- the character U+FFFF
	"\239\191\190", -- the character U+FFFE
	"\239\191\189", -- the character U+FFFD
	"emoji \240\159\152\128", "\127del", "",
	"invalid \255\254", "invalid \195", "invalid \195(", "surrogate \237\160\128", "overlong \192\175",
	"\239\191\189ff", "\255", -- an exporter that escapes invalid bytes as U+FFFD and hex digits makes these two values equal
	"<&>'\"", "]]>", "{}", ",", "=", "a=\"b\"", "# HELP x y", "\n# EOF\n", "__proto__", "constructor",
	string.rep("long ", 2048),
	5, "5", 5.5, 0, "0", true,
};
for i, value in ipairs(label_values) do
	gauge:with_labels(value):set(i);
end

local numbers = {
	nan = 0/0, ["minus-nan"] = -(0/0), inf = 1/0, ["minus-inf"] = -1/0, zero = 0, ["minus-zero"] = -0.0, huge = 1e308,
	["2^53+1"] = 2^53 + 1, ["integer 2^53+1"] = math.tointeger and 9007199254740993 or 2^53, denormal = 5e-324,
	["smallest normal"] = 2.2250738585072014e-308, third = 1/3, tenth = 0.1, negative = -12.5, ["1e21"] = 1e21,
	["1e-7"] = 1e-7, integer = 42, ["max integer"] = math.maxinteger or 2^53, text = "12.5", nothing = "no number",
};
local numeric = metric("gauge", "test_hostile_number", "", "Values that need care", { "which" });
local counted = metric("counter", "test_hostile_counter", "", "Values that a counter must not have", { "which" });
for name, value in pairs(numbers) do
	numeric:with_labels(name):set(value);
	counted:with_labels(name):set(value);
end

metric("gauge", "test_hostile/sub/name", "", "A name with slashes"):with_labels():set(1);
metric("gauge", "5th_hostile", "", "A name that begins with a digit"):with_labels():set(2);
metric("gauge", "test_hostile-dash.dot é", "", "A name with invalid characters"):with_labels():set(3);
metric("gauge", "test_hostile_help", "", "Help with\nnew lines \\ and \"quotes\" \1 and \255 bytes"):with_labels():set(4);
metric("gauge", "test_hostile_unit", "seconds", "With a unit"):with_labels():set(5);
metric("gauge", "test_hostile_unit", "odd unit\n", "With an odd unit"):with_labels():set(5.5);
metric("counter", "test_hostile_plain", "", "No label set at all"):with_labels():add(6);
metric("gauge", "test_hostile_empty", "", "No series", { "label" });
metric("gauge", "test_hostile_labels", "", "Odd names of labels", { "5th", "with-dash", "le" }):with_labels("a", "b", "c"):set(7);
metric("gauge", "test_hostile_same_labels", "", "Two labels with one name", { "a-b", "a_b" }):with_labels("1", "2"):set(8);

metric("gauge", "test_hostile_own_name", "", "A label with the reserved name of the metric name", { "__name__" }):with_labels("x"):set(8.1);
metric("gauge", "test_hostile_nameless_label", "", "A label without a name", { "" }):with_labels("x"):set(8.2);
metric("gauge", "", "", "No name at all", { "label" }):with_labels("x"):set(8.3);
local buckets = {};
for i = 1, 20000 do buckets[i] = i; end
metric("histogram", "test_hostile_many_buckets", "", "Longer than a reply can be", {}, { buckets = buckets });

-- The escaped names of these metric families are equal, or a family has the name of another family's sample.
metric("gauge", "test_hostile_twin/a", "", "First"):with_labels():set(9);
metric("counter", "test_hostile_twin__a", "", "Second"):with_labels():add(10);
metric("gauge", "test_hostile_clash_total", "", "Same name as the sample of the counter"):with_labels():set(11);
metric("counter", "test_hostile_clash", "", "Same name as the sample of the gauge"):with_labels():add(12);
metric("summary", "test_hostile_summed", "", "A summary"):with_labels():sample(13);
metric("gauge", "test_hostile_summed_count", "", "Same name as the count of the summary"):with_labels():set(14);
metric("gauge", "xmpp_up", "", "Same name as a metric of the exporter"):with_labels():set(15);
metric("gauge", "prosody_exporter_build_info", "", "Same name as a metric of the exporter", { "version" }):with_labels("0"):set(16);

local one = metric("histogram", "test_hostile_one_bucket", "", "One bucket", {}, { buckets = { 1 } }):with_labels();
one:sample(0.5); one:sample(3);
local unsorted = metric("histogram", "test_hostile_unsorted", "", "Unsorted buckets", { "host" }, { buckets = { 10, 0.1, 5, 0.1 } });
for _, v in ipairs { 0.05, 4, 7, 100 } do unsorted:with_labels("a"):sample(v); end
local none = metric("histogram", "test_hostile_no_bucket", "", "No bucket but +Inf", {}, { buckets = {} }):with_labels();
none:sample(1);
local infinite = metric("histogram", "test_hostile_infinite", "", "+Inf given too", {}, { buckets = { 1, 1/0 } }):with_labels();
infinite:sample(2);
local odd = metric("histogram", "test_hostile_nan_sample", "", "NaN and negative samples", { "which" }, { buckets = { -1, 1 } });
odd:with_labels("nan"):sample(0/0);
odd:with_labels("negative"):sample(-5);
odd:with_labels("good"):sample(0.5);
local summed = metric("summary", "test_hostile_summary", "bytes", "Summaries", { "which" });
summed:with_labels("nan"):sample(0/0);
summed:with_labels("negative"):sample(-1);
summed:with_labels("never"):reset();
summed:with_labels("good"):sample(2.5);
