-- A Prosody module for tests: acts like a module that is upgraded and then has different metrics. At each load it
-- registers the metric families in the list `prosody.test_families`. Each entry has the arguments of module:metric for
-- a family, and the value of its only series.
for _, spec in ipairs(prosody.test_families or {}) do
	local labels = {};
	for i, label in ipairs(spec.labels) do labels[i] = label; end
	local family = module:metric(spec.type, spec.name, "", spec.help, labels, { buckets = { 1, 5, 10 } });
	local metric = family:with_labels(table.unpack(spec.values));
	if metric.sample then
		metric:sample(spec.value);
	else
		metric:add(spec.value);
	end
end
