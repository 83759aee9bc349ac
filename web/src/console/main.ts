/** Starts the incident console. */
import "../shared/theme.css";
import "../shared/theme";
import "./console.css";
import { App } from "./app";

new App(document.body).start();
