-- Builds the data form that a person sees who runs the ad-hoc command in a chat client. The form has the first 500
-- metrics in the order of their ids, sorted by name.

local dataforms_new = require "util.dataforms".new;
local text_lib = module:require "text";

local max_lines = 500;

local layout = dataforms_new {
	title = "Statistics of this server";
	instructions = "The metrics of Prosody and its modules, with their values. The character / in a name is __ in Prometheus.";
	{ name = "updated"; type = "text-single"; label = "Last collection" };
	{ name = "statistics"; type = "text-multi"; label = "Statistics" };
};

local function build(index)
	local lines = {};
	for id = 1, math.min(index.size, max_lines) do
		local record, labels = index.family[id], index.labels[id];
		local text = text_lib.escape(record.name);
		if labels and labels ~= "" then
			text = text.." "..labels:sub(2):gsub("\t", " ");
		end
		text = text_lib.truncate(text);
		local metric = index.metric[id];
		if metric._count ~= nil then
			text = text.." = "..text_lib.format_number(metric._count).." (sum "..text_lib.format_number(metric._sum)..")";
		else
			text = text.." = "..text_lib.format_number(metric.value);
		end
		lines[id] = text;
	end
	table.sort(lines);
	if index.size > max_lines then
		lines[#lines + 1] = string.format("… and %d more metrics", index.size - max_lines);
	end
	return layout:form({
		updated = index.updated and os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(index.updated)) or "never";
		statistics = table.concat(lines, "\n");
	}, "result");
end

return { build = build; };
