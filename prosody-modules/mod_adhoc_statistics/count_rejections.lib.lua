-- Counts the connections that mod_limits rejects.
--
-- COMPAT mod_limits rejects connections only in recent versions of Prosody 13.0, and only if its option
-- max_connections_per_ip is set. Older versions only slow connections down. Without the option, the metric is missing.

local modulemanager = require "core.modulemanager";

-- The types of connections for which mod_limits can have the option.
local types = { "c2s", "s2s", "s2sin", "s2sout" };

-- Returns whether mod_limits handles a global event. It does so only for connections whose number it limits.
local function is_handled_by_mod_limits(event_name)
	local mod_limits = modulemanager.get_module("*", "limits");
	local handlers = mod_limits and mod_limits.module.event_handlers:get(prosody.events, event_name);
	return handlers and next(handlers) ~= nil;
end

local function count_rejections(scope)
	local is_hooked = {};

	-- mod_limits fires no event. It closes the session while it handles the event of the new connection, and Prosody
	-- destroys a session that is closed with an error before it authenticated.
	local function count_type(event_name)
		local metric = scope.metric("counter", "xmpp_connections_rejected", "",
			"Number of connections that Prosody rejected because of a limit.", { "reason" }):with_labels("connections_per_ip");
		local is_open = setmetatable({}, { __mode = "k" });
		scope.hook(event_name, function (event)
			local session = event.session;
			-- A connection can have two of the events, and the first one may have closed it.
			if session and not session.destroyed then is_open[session] = true; end
		end, scope.highest_priority);
		scope.hook(event_name, function (event)
			local session = event.session;
			if session and is_open[session] then
				is_open[session] = nil;
				if session.destroyed then metric:add(1); end
			end
		end, -scope.highest_priority);
	end

	local function find_limits()
		for _, type in ipairs(types) do
			local event_name = type.."-connected";
			if not is_hooked[type] and is_handled_by_mod_limits(event_name) then
				is_hooked[type] = true;
				count_type(event_name);
			end
		end
	end
	find_limits();
	scope.hook("module-loaded", function (event)
		if event.module == "limits" and not scope.is_stopped then find_limits(); end
	end);
end

return { rejections = count_rejections };
