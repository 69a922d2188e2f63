-- Who is there when statistics are collected: clients, users, rooms and their occupants. Walking all
-- of them is cheap beside what Prosody's own modules do then.

local hosts = prosody.hosts;

local function count_clients(scope)
	local connections = scope.metric("gauge", "xmpp_client_connections", "",
		"Clients that are connected and have a resource, over TCP, WebSocket or BOSH", { "host" });
	local users = scope.metric("gauge", "xmpp_online_users", "",
		"Users with at least one session, one that waits to be resumed included", { "host" });
	local known = {};
	scope.each_host(function (host, host_session)
		known[host] = host_session.type == "local" or nil;
	end);
	scope.on_update(function ()
		for host in pairs(known) do
			local connected, online = 0, 0;
			for _, user in pairs(hosts[host] and hosts[host].sessions or {}) do
				online = online + 1;
				for _, session in pairs(user.sessions) do
					-- mod_smacks keeps those whose connection was lost
					if not session.hibernating then connected = connected + 1; end
				end
			end
			connections:with_labels(host):set(connected);
			users:with_labels(host):set(online);
		end
	end);
end

local function count_rooms(scope)
	local rooms = scope.metric("gauge", "xmpp_muc_live_rooms", "",
		"Rooms in memory, hidden ones too", { "host" });
	local occupants = scope.metric("gauge", "xmpp_muc_occupants", "",
		"Occupants of the rooms in memory, each nickname once", { "host" });
	local known = {};
	scope.on_update(function ()
		for host, host_session in pairs(hosts) do
			local muc = host_session.modules.muc;
			if muc and muc.live_rooms then known[host] = true; end
		end
		for host in pairs(known) do
			local room_count, occupant_count = 0, 0;
			local muc = hosts[host] and hosts[host].modules.muc;
			if muc and muc.live_rooms then
				for room in muc.live_rooms() do
					room_count = room_count + 1;
					for _ in pairs(room._occupants) do
						occupant_count = occupant_count + 1;
					end
				end
			end
			rooms:with_labels(host):set(room_count);
			occupants:with_labels(host):set(occupant_count);
		end
	end);
end

return { clients = count_clients; rooms = count_rooms };
