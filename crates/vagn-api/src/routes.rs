//! The table of all endpoints: method, path, role and handler.

use vagn_http::access::Access::Anyone;
use vagn_http::route::Route;
use vagn_registry::Role::{Admin, Ingest, Latest, Operate, Read};

use crate::incidents::{self, events, many, requests, responders, unproven};
use crate::vehicles::{bbox, legacy, nearby, one, stream};
use crate::{Api, audit, map, openapi, page, positions, session, shares, targets, tiles};

/// Lists the endpoints. The router is made of this table, and the tests of roles and of the description walk it.
pub(crate) fn routes() -> Vec<Route<Api>> {
    let mut routes = pages();
    routes.extend(fleet());
    routes.extend(incidents());
    routes.extend(about());
    routes
}

fn pages() -> Vec<Route<Api>> {
    vec![
        // Open for its page; the handler asks for the role where the nearest vehicles are wanted.
        Route::any(legacy::ROUTE, Anyone, legacy::get).with_data_for(Latest, &legacy::POINT),
        Route::get(page::CONSOLE_ROUTE, Anyone, page::console),
        Route::get(page::CONSOLE_SLASH_ROUTE, Anyone, page::to_console),
        Route::get(page::ASSET_ROUTE, Anyone, page::asset),
        Route::get(page::LICENSES_ROUTE, Anyone, page::licenses),
        Route::get(map::SETTINGS_ROUTE, Anyone, map::settings),
        Route::get(map::ARCHIVE_ROUTE, Anyone, map::archive).gives_way(),
        // The secret in the path is what lets a caller in.
        Route::get(page::SHARE_ROUTE, Anyone, page::share),
        Route::get(shares::EVENTS_ROUTE, Anyone, shares::events),
    ]
}

fn fleet() -> Vec<Route<Api>> {
    vec![
        Route::get(nearby::ROUTE, Latest, nearby::get),
        Route::get(bbox::ROUTE, Latest, bbox::get),
        Route::get(one::ROUTE, Latest, one::get),
        Route::delete(one::ROUTE, Admin, one::delete),
        Route::get(one::BY_PARAM_ROUTE, Latest, one::get_by_param),
        Route::delete(one::BY_PARAM_ROUTE, Admin, one::delete_by_param),
        Route::get(stream::ROUTE, Latest, stream::get).gives_way(),
        Route::get(tiles::JSON_ROUTE, Latest, tiles::describe),
        Route::get(tiles::ROUTE, Latest, tiles::get).gives_way(),
        Route::post(positions::ROUTE, Ingest, positions::post).for_reports(),
    ]
}

fn incidents() -> Vec<Route<Api>> {
    vec![
        Route::get(incidents::ROUTE, Read, incidents::list).noted(),
        Route::get(unproven::ROUTE, Read, unproven::list).noted(),
        Route::post(unproven::RAISE_ROUTE, Operate, unproven::raise).by_person(),
        Route::get(incidents::ONE_ROUTE, Read, incidents::get).noted(),
        Route::post(requests::ACKNOWLEDGE_ROUTE, Operate, requests::acknowledge).by_person(),
        Route::post(requests::RESOLVE_ROUTE, Operate, requests::resolve).by_person(),
        Route::post(requests::COMMENT_ROUTE, Operate, requests::comment),
        Route::post(requests::REPLAY_ROUTE, Operate, requests::replay),
        Route::post(requests::REPLAY_ALL_ROUTE, Operate, requests::replay_all),
        Route::post(many::ROUTE, Operate, many::resolve).by_person(),
        Route::get(events::ROUTE, Read, events::get).noted(),
        Route::get(responders::ROUTE, Read, responders::get).noted(),
        Route::get(targets::ROUTE, Read, targets::get),
        Route::get(audit::HEAD_ROUTE, Read, audit::head),
        Route::get(audit::TRAIL_ROUTE, Read, audit::trail).noted(),
    ]
}

fn about() -> Vec<Route<Api>> {
    vec![
        Route::post(shares::ROUTE, Operate, shares::add),
        Route::get(shares::ROUTE, Operate, shares::list),
        Route::delete(shares::ONE_ROUTE, Operate, shares::revoke),
        Route::post(session::ROUTE, Latest, session::begin),
        Route::get(session::ROUTE, Latest, session::show),
        Route::delete(session::ROUTE, Latest, session::end),
        Route::get(openapi::ROUTE, Read, openapi::get),
    ]
}

#[cfg(test)]
mod tests {
    use axum::http::Method;

    use super::*;

    #[test]
    fn the_access_log_has_who_asked_for_a_change() {
        for route in routes() {
            let changes = route.method().is_some_and(|method| *method != Method::GET);
            let are_reports = route.path() == positions::ROUTE;
            assert!(!changes || route.is_noted() != are_reports, "{route:?}");
        }
    }
}
