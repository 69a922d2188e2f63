-- Exports when the certificates that Prosody sends will expire, their fingerprints, and whether a newer certificate is on
-- disk.

local certmanager = require "core.certmanager";
local configmanager = require "core.configmanager";
local portmanager = require "core.portmanager";
local lfs = require "lfs";
local parse_datetime = require "util.datetime".parse;
local resolve_path = require "util.paths".resolve_relative_path;
local sha256 = require "util.hashes".sha256;
local throttle = module:require "throttle".throttle;
local hosts = prosody.hosts;

-- Increase this number when you change the fields of the state.
local layout = 2;

-- The services with a TLS port of their own, and the module that a host has if it offers the service. Modules without a
-- host can offer HTTP too, for all hosts.
local port_modules = { c2s_direct_tls = "c2s"; legacy_ssl = "c2s"; s2s_direct_tls = "s2s"; https = "http" };

-- Returns the files of the first certificate and the first key in a list of tables such as the option `ssl`.
local function choose(...)
	local chosen = {};
	for i = 1, select("#", ...) do
		local options = select(i, ...);
		if type(options) == "table" then
			for _, name in ipairs { "certificate", "key", "password" } do
				if type(options[name]) == "string" then chosen[name] = chosen[name] or options[name]; end
			end
		end
	end
	for _, name in ipairs { "certificate", "key" } do
		chosen[name] = chosen[name] and resolve_path(prosody.paths.config or ".", chosen[name]);
	end
	return chosen.certificate and chosen or nil;
end

-- COMPAT find_host_cert() is exported since Prosody 0.12. Older versions have the same function as a local one.
local find_host_certificate = certmanager.find_host_cert or function (host)
	while host do
		local found = certmanager.find_cert(configmanager.get(host, "certificate"), host);
		if found then return found; end
		host = host:match("%.(.+)$");
	end
end

-- Returns the certificate for STARTTLS. The order of options is that of mod_tls.
local function find_starttls_certificate(host, service, host_certificate)
	local raw, parent, option = configmanager.rawget, host:match("%.(.*)$"), service.."_ssl";
	return choose(raw(host, option) or raw(parent, option), raw(host, "ssl") or raw(parent, "ssl"),
		raw("*", option), raw("*", "ssl"), host_certificate);
end

-- Returns the certificate of a TLS port for clients that do not name a host. The order of options is that of
-- core.portmanager and core.certmanager.
local function find_port_certificate(name, interface, port, service_info)
	local prefix = service_info.config_prefix or name;
	local global_ssl = configmanager.get("*", "ssl") or {};
	local port_ssl = configmanager.get("*", (prefix == "" and "" or prefix.."_").."ssl") or global_ssl;
	local option = configmanager.get("*", name.."_certificate");
	if type(option) == "table" then option = option[port] or option.default; end
	return choose(port_ssl[interface], port_ssl[port], port_ssl, service_info.ssl_config,
		global_ssl[interface], global_ssl[port], global_ssl, certmanager.find_cert(option, name));
end

-- Returns the certificate of a TLS port for a client that names the host (SNI), as core.portmanager finds it.
local function find_sni_certificate(host, name, active, host_certificate)
	local sni_host = configmanager.get(host, name.."_host") or name == "https" and configmanager.get(host, "http_host");
	return choose(configmanager.get(host, name.."_ssl"),
		sni_host and find_host_certificate(sni_host) or host_certificate, active.tls_cfg);
end

-- Calls f(id, service, certificate, reload) for each service of a host. The value of `reload` is what Prosody does with
-- the certificate when the configuration is reloaded:
-- "replace": loads it again; if that fails, the service has no certificate;
-- "try": loads it again; if that fails, the service keeps the old one;
-- "keep": keeps the old one.
local function each_service(host, f)
	local modules, host_certificate, is_any = hosts[host].modules, find_host_certificate(host), false;
	local function visit(...)
		is_any = true;
		f(...);
	end
	for _, service in ipairs { "c2s", "s2s" } do
		if modules[service] then
			visit(service, service, find_starttls_certificate(host, service, host_certificate), "replace");
		end
	end
	for name, interface, port, _, active in portmanager.get_active_services():iter(nil, nil, nil, nil) do
		local is_offered = modules[port_modules[name]] or name == "https" and hosts[host].type == "local";
		if active.service.encryption == "ssl" and is_offered then
			local id = name.." "..interface.." "..port;
			-- COMPAT Before Prosody 0.12, a port has no tls_cfg. It sends the same certificate for all hosts.
			if active.tls_cfg then
				visit(id, name, find_sni_certificate(host, name, active, host_certificate), "try");
			else
				visit(id, name, find_port_certificate(name, interface, port, active.service), "keep");
			end
		end
	end
	-- A program before Prosody may use the certificate of a host without these services.
	if not is_any then f("", "", choose(host_certificate), "replace"); end
end

local months = { Jan = 1, Feb = 2, Mar = 3, Apr = 4, May = 5, Jun = 6, Jul = 7, Aug = 8, Sep = 9, Oct = 10, Nov = 11, Dec = 12 };

-- Returns the expiry time of the first certificate in a PEM text, and the SHA-256 of its DER form as hexadecimal digits.
-- The first certificate is that of the host; the certificates of its authorities follow.
local function parse_certificate(pem)
	local certificate = assert(require "ssl".loadcertificate(pem));
	-- notafter() returns a time in the format of OpenSSL, for example "Nov  2 21:23:35 2026 GMT".
	local month, day, clock, year = certificate:notafter():match("^(%a+) +(%d+) ([%d:]+) (%d+) GMT$");
	local expiry = assert(parse_datetime(("%s-%02d-%02dT%sZ"):format(year, months[month], tonumber(day), clock)));
	return expiry, certificate:digest("sha256"):lower();
end

-- Reads a PEM file. Returns a hash of the certificates in it, without other text and white space, and the whole text.
-- Returns nil and an error message if the file cannot be read.
local function read_chain(path)
	local f, err = io.open(path);
	if not f then return nil, err; end
	local text = f:read("*a") or "";
	f:close();
	local certificates = {};
	for body in text:gmatch("%-%-%-%-%-BEGIN CERTIFICATE%-%-%-%-%-(.-)%-%-%-%-%-END CERTIFICATE%-%-%-%-%-") do
		certificates[#certificates + 1] = body:gsub("%s", "");
	end
	return sha256(table.concat(certificates, "\n"), true), text;
end

-- Loads a certificate and its key as Prosody does, because Prosody sends no certificate if that fails. Returns the hash
-- of the certificates in the file, and the expiry time and the fingerprint of the first one.
local function load_certificate(found)
	local chain, text = read_chain(found.certificate);
	assert(chain, text);
	local ssl = require "ssl";
	assert(ssl.newcontext({
		mode = "server"; protocol = "sslv23"; certificate = found.certificate; key = assert(found.key, "it has no key");
		-- Without this option, OpenSSL reads the password of an encrypted key from the terminal.
		password = found.password or function () end;
	}));
	return chain, parse_certificate(text);
end

-- Returns a text that changes whenever a file changes, or nil if the file does not exist. Certbot replaces symbolic
-- links, so the text contains the inode of the file to which the path leads. The second result is false if the file can
-- still change without a change of the text: times of files are in seconds.
local function get_file_version(path)
	-- The table of all attributes would be garbage at each collection.
	local change_time = lfs.attributes(path, "change");
	if not change_time then return nil; end
	return lfs.attributes(path, "ino").." "..change_time, os.time() >= change_time + 2;
end

-- Returns the results of load_certificate() as a table. If no file changed, takes them from `cache`. With 500
-- certificates, each reload of the configuration would otherwise block Prosody for one more second.
local function load_with_cache(found, cache)
	local path, key_path = found.certificate, found.key or "";
	local version, is_final = get_file_version(path);
	local key_version, is_key_final = get_file_version(key_path);
	local id = path.."\0"..key_path;
	local loaded = cache[id];
	if not loaded or loaded.version ~= version or loaded.key_version ~= key_version then
		loaded = { version = version; key_version = key_version };
		loaded.chain, loaded.expiry, loaded.fingerprint = load_certificate(found);
		-- A later password can be wrong for the same key.
		loaded.is_final = is_final and is_key_final and not found.password;
		cache[id] = loaded;
	end
	return loaded;
end

-- Returns what Prosody has loaded. The keys are a host and an id from each_service(). This table survives a reload of the
-- module, which must not forget that Prosody still has an old certificate. It is a field of core.certmanager.
local function get_state()
	local state = certmanager.adhoc_statistics;
	if not state or state.layout ~= layout then
		state = { layout = layout; hosts = {}; logged = {} };
		certmanager.adhoc_statistics = state;
	end
	return state;
end

-- Returns a function that sets all series of a family of gauges, and removes those without a value. It takes a table that
-- maps label values, separated by spaces, to the value of the series. The function `unpack_labels` separates them.
local function new_setter(scope, name, description, label_keys, unpack_labels)
	local function register(keys) return scope.metric("gauge", name, "", description, keys); end
	local family = register(label_keys);
	return function (values)
		for labels in family:iter_metrics() do
			if values[table.concat(labels, " ")] == nil then
				-- The registry can't remove a series. But a family with other labels replaces a family of the same name.
				register({ "none" });
				family = register(label_keys);
				break;
			end
		end
		for key, value in pairs(values) do
			family:with_labels(unpack_labels(key)):set(value);
		end
	end
end

local function split_two(key) return key:match("^(%S*) (%S*)$"); end
local function split_three(key) return key:match("^(%S*) (%S*) (%S*)$"); end
local function identity(key) return key; end

-- Adds the expiry times of what a host sends to `times`, whose keys have the form "host service", and the fingerprints
-- to `fingerprints`, whose keys have the form "host service fingerprint". If all services of the host send the same
-- certificate, there is one key, whose service is empty.
local function list_certificates(host, services, times, fingerprints)
	local _, any = next(services);
	local is_same = true;
	for _, loaded in pairs(services) do
		is_same = is_same and loaded.chain == any.chain;
	end
	for _, loaded in pairs(services) do
		if loaded.expiry then
			local key = host.." "..(is_same and "" or loaded.service);
			-- The ports of a service can have different certificates. The one that expires first matters.
			times[key] = math.min(loaded.expiry, times[key] or math.huge);
			fingerprints[key.." "..loaded.fingerprint] = 1;
		end
	end
end

local function count_certificates(scope)
	local set_expiry_times = new_setter(scope, "xmpp_certificate_expiry_timestamp_seconds",
		"Expiry time of the host's certificate, as Prosody last loaded it, in seconds since 1970.", { "host", "service" }, split_two);
	local set_fingerprints = new_setter(scope, "xmpp_certificate_info",
		"SHA-256 fingerprint of the host's certificate, as Prosody last loaded it, with the constant value 1.",
		{ "host", "service", "sha256" }, split_three);
	local set_reload_needed = new_setter(scope, "xmpp_certificate_reload_needed",
		"Whether a certificate file of the host is newer than the certificate that Prosody loaded.", { "host" }, identity);
	local state = get_state();
	local cache = {};
	-- For each certificate file: its version, whether it is final, and the hash of its certificates. The hash is nil if
	-- the file can't be read. The entry is false if the file never existed.
	local files = {};

	-- Returns the version of a file that may have changed since it was read, and whether the version is final.
	local function get_new_version(path)
		local file, version, is_final = files[path], get_file_version(path);
		if file and file.is_final and file.version == version then return nil; end
		return version, is_final;
	end

	-- Reads a file of the host again if it changed.
	local function read_file(path, host)
		local version, is_final = get_new_version(path);
		if not version then
			files[path] = files[path] or false;
			return;
		end
		local chain, err = read_chain(path);
		files[path] = { version = version; is_final = is_final; chain = chain };
		if not chain and not state.logged[path] then
			scope.log("warn", "Prosody can't read the new certificate file of %s: %s. Allow the user of Prosody to read it, "
				.."and run: prosodyctl reload", host, err);
		end
		state.logged[path] = not chain or nil;
	end

	local function check()
		local values, is_read = {}, {};
		for host, services in pairs(state.hosts) do
			values[host] = 0;
			for _, loaded in pairs(services) do
				local path = loaded.path;
				if not is_read[path] then
					is_read[path] = true;
					read_file(path, host);
				end
				local file = files[path];
				if file and (not file.chain or file.chain ~= loaded.chain) then values[host] = 1; end
			end
		end
		for path in pairs(files) do
			if not is_read[path] then files[path] = nil; end
		end
		set_reload_needed(values);
	end

	local function check_if_changed()
		for path in pairs(files) do
			if get_new_version(path) then return check(); end
		end
	end

	local function publish()
		local times, fingerprints = {}, {};
		for host, services in pairs(state.hosts) do
			list_certificates(host, services, times, fingerprints);
		end
		set_expiry_times(times);
		set_fingerprints(fingerprints);
		check();
	end

	-- Finds the certificates of a host. Loads those that are not in the state, and those that Prosody has just loaded
	-- again.
	local function read_services(host, is_reloaded)
		local known, services = state.hosts[host] or {}, {};
		each_service(host, function (id, service, found, reload)
			services[id] = known[id];
			if not found or known[id] and (reload == "keep" or not is_reloaded) then return; end
			local ok, loaded = pcall(load_with_cache, found, cache);
			if ok then
				services[id] = {
					service = service; path = found.certificate;
					chain = loaded.chain; expiry = loaded.expiry; fingerprint = loaded.fingerprint;
				};
			elseif reload == "replace" or not known[id] then
				scope.log("debug", "Could not load the certificate of %s: %s", host, loaded);
				services[id] = { service = service; path = found.certificate };
			end
		end);
		state.hosts[host] = next(services) and services or nil;
	end

	local function read_host(host, is_reloaded)
		local ok, err = pcall(read_services, host, is_reloaded);
		if not ok then scope.log("debug", "Could not find the certificates of %s: %s", host, err); end
	end

	local function read_all(is_reloaded)
		for id, loaded in pairs(cache) do
			if not loaded.is_final then cache[id] = nil; end
		end
		for host in pairs(state.hosts) do
			if not hosts[host] then state.hosts[host] = nil; end
		end
		for host in pairs(hosts) do
			read_host(host, is_reloaded);
		end
		state.config = configmanager.getconfig();
		publish();
	end

	-- Hooks an event, so that f runs after all handlers of Prosody. Until the server has started, f is not called.
	local function hook_last(event_name, f)
		scope.hook(event_name, function (event)
			if prosody.start_time and not scope.is_stopped then f(event); end
		end, -scope.highest_priority);
	end
	for _, event_name in ipairs { "server-started", "config-reloaded" } do
		hook_last(event_name, function () read_all(true); end);
	end
	for _, event_name in ipairs { "service-added", "service-removed" } do
		hook_last(event_name, function () read_all(false); end);
	end
	hook_last("host-activated", function (host)
		read_host(host, false);
		publish();
	end);
	hook_last("host-deactivated", function (host)
		state.hosts[host] = nil;
		publish();
	end);
	-- If this module was unloaded during a reload of the configuration, the state is outdated.
	if prosody.start_time then read_all(state.config ~= configmanager.getconfig()); end
	scope.on_update(throttle(check_if_changed));
end

return { certificates = count_certificates };
