-- Test only: a module with different metrics after each reload, like a module that was upgraded. The list
-- `prosody.test_families` has the arguments of module:metric for each family, and the value of its one series.
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
