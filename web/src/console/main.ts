/** Starts the incident console. */
import "../shared/theme.css";
import "../shared/theme";
import "./console.css";
import "./list.css";
import "./mapview.css";
import "./detail.css";
import "./narrow.css";
import { App } from "./app";

new App(document.body).start();
