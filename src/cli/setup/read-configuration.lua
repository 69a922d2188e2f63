-- Reads Prosody's configuration in the way that Prosody reads it: this script runs prosodyctl with its own
-- interpreter, and prints the configuration as JSON when prosodyctl has loaded it.
--
-- Usage: LUA read-configuration.lua PROSODYCTL NAME with < CONTENT
--        LUA read-configuration.lua PROSODYCTL NAME without
--
-- In the first form, prosodyctl sees a file with the name NAME and the given content in the first directory that the
-- configuration includes with a wildcard. The file need not exist, so setup can try its own file before it writes the
-- file. In the second form, prosodyctl sees no file with this name, even if it exists.

local prosodyctl, name, mode = arg[1], arg[2], arg[3];
local content = mode == "with" and io.read("*a") or nil;

local host_names, seen = {}, {};
local is_loading, included, problem = false, nil, nil;

-- For each host, configmanager sets the field __currenthost of the environment. So the hosts are known in the order
-- in which the configuration defines them.
local real_rawset = rawset;
function rawset(t, k, v) -- luacheck: ignore 121
	if k == "__currenthost" and v ~= "*" and not seen[v] then
		seen[v] = true;
		table.insert(host_names, v);
	end
	return real_rawset(t, k, v);
end

-- configmanager opens each configuration file with io.open.
local real_open = io.open;
function io.open(path, ...) -- luacheck: ignore 122
	if not is_loading or included ~= path and (included or path:match("[^/]+$") ~= name) then
		return real_open(path, ...);
	end
	included = path;
	if not content then return nil, path..": No such file or directory", 2; end
	local file = io.tmpfile();
	file:write(content);
	file:seek("set");
	return file;
end

-- configmanager lists each directory that a wildcard includes with lfs.dir.
local has_lfs, lfs = pcall(require, "lfs");
if has_lfs then
	local real_dir = lfs.dir;
	function lfs.dir(path)
		if not is_loading then return real_dir(path); end
		local names = {};
		for entry in real_dir(path) do
			if entry ~= name then table.insert(names, entry); end
		end
		if content and not included then table.insert(names, name); end
		local i = 0;
		return function ()
			i = i + 1;
			return names[i];
		end;
	end
end

local real_exit = os.exit;
local function finish(result)
	local found, json = pcall(require, "prosody.util.json");
	if not found then json = require "util.json"; end
	-- The result is the last line, because prosodyctl may have printed warnings.
	io.stdout:write("\n", json.encode(result), "\n");
	io.stdout:flush();
	real_exit(0);
end

local function list(value)
	if type(value) ~= "table" then return { value }; end
	-- util.set of Prosody, and other tables that are not a list, are not expected here.
	local items = {};
	for _, item in ipairs(value) do table.insert(items, item); end
	return items;
end

local function simple(value)
	if type(value) == "table" or type(value) == "function" then return type(value); end
	return value;
end

local function report(configmanager)
	local config = configmanager.getconfig();
	local global = rawget(config, "*");
	local hosts = {};
	for _, host in ipairs(host_names) do
		local options = rawget(config, host);
		if options and host ~= "*" then
			table.insert(hosts, {
				name = host;
				component = rawget(options, "component_module");
				has_secret = rawget(options, "component_secret") ~= nil;
			});
		end
	end
	local directories = {};
	for path in CFG_PLUGINDIR:gmatch("[^;]+") do table.insert(directories, path); end
	local prosody = rawget(_G, "prosody");
	local user = simple(global.prosody_user) or "prosody";
	finish({
		version = prosody.version;
		config_file = prosody.config_file;
		hosts = hosts;
		included = included;
		statistics = simple(global.statistics);
		statistics_interval = simple(global.statistics_interval);
		component_ports = list(global.component_ports or global.component_port or 5347);
		component_interfaces = list(global.component_interfaces or global.component_interface or global.local_interfaces
			or { "127.0.0.1", "::1" });
		has_plugin_paths = global.plugin_paths ~= nil;
		plugin_paths = list(global.plugin_paths or {});
		plugin_directories = directories;
		run_as_root = global.run_as_root == true;
		group = simple(global.prosody_group) or user;
	});
end

local printed = {};
function print(...) -- luacheck: ignore 121
	local words = {};
	for i = 1, select("#", ...) do words[i] = tostring((select(i, ...))); end
	table.insert(printed, table.concat(words, " "));
end

function os.exit() -- luacheck: ignore 122
	finish({ problem = problem or table.concat(printed, " ") });
end

local real_require = require;
local configmanager;
function require(module) -- luacheck: ignore 121
	local loaded = real_require(module);
	if configmanager == nil and module:match("core%.configmanager$") then
		configmanager = loaded;
		local load = loaded.load;
		function loaded.load(...)
			is_loading = true;
			local ok, level, err = load(...);
			is_loading = false;
			if not ok then problem = tostring(err or level); end
			return ok, level, err;
		end
	elseif module:match("util%.startup$") and not loaded.is_wrapped then
		loaded.is_wrapped = true;
		local start = loaded.prosodyctl;
		function loaded.prosodyctl()
			start();
			report(configmanager);
		end
	end
	return loaded;
end

arg = { [0] = prosodyctl }; -- luacheck: ignore 121
local ok, err = pcall(dofile, prosodyctl);
if not ok then finish({ problem = tostring(err) }); end
