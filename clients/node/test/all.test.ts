/** One process and one server for all tests; which is what takes time. */

import "./server.js";

import "./checks.js";
import "./connect.js";
import "./connection.js";
