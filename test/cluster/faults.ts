/** The faults, each with its repair. A history injects a seeded sequence of them. */
import { BUS_FAULTS } from "./bus-faults.ts";
import type { Faults } from "./fault.ts";
import { PROCESS_FAULTS } from "./process-faults.ts";
import { SERVER_FAULTS } from "./server-faults.ts";

export const FAULTS: Faults = { ...PROCESS_FAULTS, ...SERVER_FAULTS, ...BUS_FAULTS };
