//! The table of all endpoints: method, path, role and handler.

use vagn_http::route::Role::{Anyone, TokenHolder};
use vagn_http::route::Route;

use crate::incidents::{self, events, many, requests, responders};
use crate::vehicles::{bbox, legacy, nearby, one, stream};
use crate::{Api, audit, map, openapi, page, positions, targets, tiles};

/// Lists the endpoints. The router is made of this table, and the tests of roles and of the description walk it.
pub(crate) fn routes() -> Vec<Route<Api>> {
    vec![
        // Open for its page; the handler asks for a token where the nearest vehicles are wanted.
        Route::any(legacy::ROUTE, Anyone, legacy::get),
        Route::get(page::CONSOLE_ROUTE, Anyone, page::console),
        Route::get(page::ASSET_ROUTE, Anyone, page::asset),
        Route::get(page::LICENSES_ROUTE, Anyone, page::licenses),
        Route::get(map::SETTINGS_ROUTE, Anyone, map::settings),
        Route::get(map::ARCHIVE_ROUTE, Anyone, map::archive).gives_way(),
        Route::get(nearby::ROUTE, TokenHolder, nearby::get),
        Route::get(bbox::ROUTE, TokenHolder, bbox::get),
        Route::get(one::ROUTE, TokenHolder, one::get),
        Route::delete(one::ROUTE, TokenHolder, one::delete),
        Route::get(one::BY_PARAM_ROUTE, TokenHolder, one::get_by_param),
        Route::delete(one::BY_PARAM_ROUTE, TokenHolder, one::delete_by_param),
        Route::get(stream::ROUTE, TokenHolder, stream::get).gives_way(),
        Route::get(tiles::JSON_ROUTE, TokenHolder, tiles::describe),
        Route::get(tiles::ROUTE, TokenHolder, tiles::get).gives_way(),
        Route::get(incidents::ROUTE, TokenHolder, incidents::list),
        Route::get(incidents::ONE_ROUTE, TokenHolder, incidents::get),
        Route::post(requests::ACKNOWLEDGE_ROUTE, TokenHolder, requests::acknowledge),
        Route::post(requests::RESOLVE_ROUTE, TokenHolder, requests::resolve),
        Route::post(requests::COMMENT_ROUTE, TokenHolder, requests::comment),
        Route::post(requests::REPLAY_ROUTE, TokenHolder, requests::replay),
        Route::post(requests::REPLAY_ALL_ROUTE, TokenHolder, requests::replay_all),
        Route::post(many::ROUTE, TokenHolder, many::resolve),
        Route::get(events::ROUTE, TokenHolder, events::get),
        Route::get(responders::ROUTE, TokenHolder, responders::get),
        Route::get(targets::ROUTE, TokenHolder, targets::get),
        Route::get(audit::HEAD_ROUTE, TokenHolder, audit::head),
        Route::get(audit::TRAIL_ROUTE, TokenHolder, audit::trail),
        Route::post(positions::ROUTE, TokenHolder, positions::post),
        Route::get(openapi::ROUTE, TokenHolder, openapi::get),
    ]
}
