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

	-- mod_limits fires no event. It closes the session while it handles the event of the new connection. So the close
	-- function of the session is replaced for the duration of that event.
	local function count_type(event_name)
		local metric = scope.metric("counter", "xmpp_connections_rejected", "",
			"Number of connections that Prosody rejected because of a limit.", { "reason" }):with_labels("connections_per_ip");
		local closers, originals = setmetatable({}, { __mode = "k" }), setmetatable({}, { __mode = "k" });
		scope.hook(event_name, function (event)
			local session = event.session;
			-- A connection can have two of the events, and the first one may have closed it.
			if not session or session.destroyed or not session.close then return; end
			local close = session.close;
			originals[session] = close;
			closers[session] = function (...)
				metric:add(1);
				return close(...);
			end;
			session.close = closers[session];
		end, scope.highest_priority);
		scope.hook(event_name, function (event)
			local session = event.session;
			-- A closed session may already have another function.
			if session and session.close == closers[session] then session.close = originals[session]; end
			if session then closers[session], originals[session] = nil, nil; end
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
