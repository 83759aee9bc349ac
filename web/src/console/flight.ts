/** Flights of the map: only a short way is flown. On a longer one all that lies between would be drawn, while news wait for a frame. */

/** Time of a flight, in ms. */
const FLIGHT_MS = 600;
/** Most zooms that are flown over. */
const ZOOMS_MAX = 3;

/** Time in ms in which the map goes from one zoom to another; `isInView` where the new middle is seen already. */
export function flightMs(fromZoom: number, toZoom: number, isInView: boolean): number {
  return isInView && Math.abs(toZoom - fromZoom) <= ZOOMS_MAX ? FLIGHT_MS : 0;
}
