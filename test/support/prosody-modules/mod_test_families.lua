-- Test only: a module of a host whose metrics are other ones after each reload, as those of a new
-- version are. `prosody.test_families` says which, a list of what module:metric is given.
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
